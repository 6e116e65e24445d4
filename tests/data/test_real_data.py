"""The real files, where a machine has them (SNNCONVERT_DATA)."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snnconvert.data import Preprocessing, batches, layout, open_dataset, sample_ids, split_half, value_range


def test_mnist_is_read(shared_data: Path) -> None:
    train, test = open_dataset(f"{shared_data}/mnist:train"), open_dataset(f"{shared_data}/mnist:test")
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert test.array.mean() == pytest.approx(33.791, abs=1e-3)
    assert layout(test.sample(0).shape, (1, 28, 28)) == "NHW"


def test_cifar_is_read_and_split(shared_data: Path) -> None:
    dataset = open_dataset(shared_data / "cifar10" / "test.npz")
    assert dataset.sample(0).shape == (32, 32, 3)
    assert np.bincount(dataset.labels).tolist() == [1000] * 10
    assert value_range(dataset.array) == (0.0, 255.0)
    ids = sample_ids(dataset, range(len(dataset)))
    assert len(set(ids)) == 10_000
    assert [len(part) for part in split_half(ids, 0)] == [5000, 5000]
    preprocessing = Preprocessing.parse("scale=1/255,mean=0.485/0.456/0.406,std=0.229/0.224/0.225")
    _, x = next(batches(dataset, range(100), preprocessing, (3, 32, 32), 100))
    alone = np.stack([preprocessing(dataset.sample(i), (3, 32, 32)) for i in range(100)])
    assert x.tobytes() == alone.tobytes()


def test_imagenet_folder_is_read(shared_data: Path) -> None:
    dataset = open_dataset(shared_data / "imagenet")
    assert len(dataset) == 500
    assert dataset.labels.tolist() == list(range(0, 1000, 2))
    _, x = next(batches(dataset, [0, 1, 2], Preprocessing.parse("imagenet"), (3, 224, 224), 3))
    with Image.open(dataset.files[2]) as image:
        side = image.size
        left, top = round((side[0] - 224) / 2), round((side[1] - 224) / 2)
        pixels = np.asarray(image.convert("RGB").crop((left, top, left + 224, top + 224)), np.float32)
    assert min(side) == 256
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    np.testing.assert_array_equal(x[2], ((pixels * np.float32(1 / 255) - mean) / std).transpose(2, 0, 1))
