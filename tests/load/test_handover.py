"""Weights go to torch and come back without a copy, and only from where they were put."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from snnconvert.errors import ModelError
from snnconvert.load import Asked, load_model
from snnconvert.load.archive import Place, write_archive
from snnconvert.load.handover import LARGE, Handover
from snnconvert.load.torch_model import read_torch

STORED = np.random.default_rng(0).integers(0, 256, LARGE, np.uint8)
linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="elsewhere the archive is a buffer of this process")


@pytest.fixture(params=["in a file", "in a buffer"])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handover]:
    if request.param == "in a buffer":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    held = Handover(lambda stream: write_archive({"small": b"abc", "data/0": STORED.tobytes()}, stream))
    yield held
    held.close()


def tensor(location: str, offset: int, size: int = LARGE) -> TensorProto:
    declared = TensorProto(name="w", dims=[size], data_type=TensorProto.UINT8, data_location=TensorProto.EXTERNAL)
    declared.external_data.add(key="location", value=location)
    declared.external_data.add(key="offset", value=str(offset))
    return declared


def test_weight_of_the_archive_is_found_there_and_another_is_put_beside(held: Handover) -> None:
    changed = STORED.copy()
    changed[-1] ^= 1
    for weight, expected in ((STORED, "archive"), (changed, "made")):
        place = held.put(weight)
        assert place is not None
        assert place[0] == expected
        assert held.read(tensor(*place), "w", LARGE) == weight.tobytes()


def test_weights_without_room_are_left_and_a_new_attempt_has_all_room(held: Handover) -> None:
    other = 255 - STORED
    rooms = held.size // LARGE + 1
    assert [held.put(other) is not None for _ in range(rooms + 1)] == [True] * rooms + [False]
    held.clear()
    assert held.put(other) == ("made", 0)


@pytest.mark.parametrize(
    ("location", "offset"),
    [("archive", 2**40), ("made", 2**40), ("archive", 1), ("", 0), ("net.bin", 0), ("/etc/passwd", 0)],
)
def test_weight_elsewhere_is_refused(held: Handover, location: str, offset: int) -> None:
    with pytest.raises(ModelError, match=r"E111.*w: torch's exporter stores it where nothing is"):
        held.read(tensor(location, offset), "w", LARGE)


def test_what_is_read_cannot_be_written_and_outlives_the_archive(held: Handover) -> None:
    place = held.put(STORED)
    assert place is not None
    data = held.read(tensor(*place), "w", LARGE)
    held.close()
    assert data.readonly
    assert data == STORED.tobytes()


@linux
def test_nobody_can_change_the_archive() -> None:
    held = Handover(lambda stream: write_archive({"data/0": STORED.tobytes()}, stream))
    with pytest.raises(PermissionError):
        Path(str(held.source())).write_bytes(b"changed")
    with pytest.raises(PermissionError):
        os.truncate(str(held.source()), 1)
    held.close()


def test_what_torch_opens_is_what_was_written() -> None:
    def write(stream: BinaryIO) -> list[Place]:
        stream.write(b"content")
        return []

    held = Handover(write)
    source = held.source()
    assert (Path(source).read_bytes() if isinstance(source, str) else source.read()) == b"content"
    held.close()


class Wide(nn.Module):
    """A weight that the exporters keep, one that they fold into a batch norm, and one of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4096, 3)
        self.bn = nn.BatchNorm2d(4096)
        self.classify = nn.Linear(4096, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.classify(torch.relu(self.bn(self.conv(x))).flatten(1))
        return y


@pytest.fixture(scope="module")
def wide() -> nn.Module:
    torch.manual_seed(0)
    network = Wide().eval()
    nn.init.normal_(network.bn.running_mean)
    return network


@pytest.mark.parametrize("form", ["scripted", "traced", "exported"])
@pytest.mark.parametrize("trust", [False, True])
def test_large_weights_come_back_beside_the_model(
    wide: nn.Module,
    form: str,
    trust: bool,
    to_script: Callable[..., bytes],
    to_program: Callable[..., bytes],
    tmp_path: Path,
) -> None:
    x = torch.randn(4, 2, 3, 3)
    content = to_program(wide, x) if form == "exported" else to_script(wide, x if form == "traced" else None)
    network = read_torch(Path("net.pt"), content, Asked((2, 3, 3), trust=trust))
    model = onnx.load_from_string(network.to_onnx())
    places = {each.name: each.external_data[0].value for each in model.graph.initializer if each.data_location}
    assert len(places) == 2
    assert places["classify.weight"] == ("made" if trust else "archive")
    assert model.ByteSize() < 2 * LARGE
    assert len(model.graph.input) == 1

    (tmp_path / "net.pt").write_bytes(content)
    loaded = load_model(tmp_path / "net.pt", Asked((2, 3, 3), trust=trust))
    loaded.compare(x.numpy())
    with torch.no_grad():
        assert torch.allclose(loaded.graph.run(x), wide(x), atol=1e-5)


def test_weights_that_find_no_room_come_back_in_the_model(
    wide: nn.Module, to_script: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handover, "put", lambda *_: None)
    content = to_script(wide, torch.zeros(2, 2, 3, 3))
    model = onnx.load_from_string(read_torch(Path("net.pt"), content, Asked((2, 3, 3))).to_onnx())
    assert not any(each.data_location for each in model.graph.initializer)
    onnx.checker.check_model(model)
