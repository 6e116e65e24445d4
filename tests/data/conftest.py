import gzip
import importlib.util
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

IDX_CODES = {"|u1": 0x08, "|i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


@pytest.fixture(scope="session")
def mutations() -> ModuleType:
    """The sound and the broken files of data_mutations.py."""
    spec = importlib.util.spec_from_file_location(
        "data_mutations", Path(__file__).resolve().parents[1] / "data_mutations.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def save_image(rng: np.random.Generator) -> Callable[..., np.ndarray]:
    """Save random pixels as an image file and return what a lossless format gives back."""

    def save(path: Path, size: tuple[int, ...] = (6, 5, 3), kind: str | None = None) -> np.ndarray:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, size, np.uint8)
        Image.fromarray(pixels).save(path, format=kind)
        return pixels

    return save


@pytest.fixture
def idx_bytes() -> Callable[[np.ndarray], bytes]:
    def encode(array: np.ndarray) -> bytes:
        code = IDX_CODES[array.dtype.str]
        return struct.pack(f">2xBB{array.ndim}I", code, array.ndim, *array.shape) + array.tobytes()

    return encode


@pytest.fixture
def mnist_folder(tmp_path: Path, rng: np.random.Generator, idx_bytes: Callable[[np.ndarray], bytes]) -> Path:
    """A folder with the four files of MNIST, gzipped, with 7 training and 5 test images."""
    for name, count in (("train", 7), ("t10k", 5)):
        images = rng.integers(0, 256, (count, 4, 4), np.uint8)
        labels = np.arange(count, dtype=np.uint8)
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(labels)))
    return tmp_path
