"""A network that torch saved itself becomes the same spiking network as its ONNX export."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from snnconvert.fold import PASSES
from snnconvert.graph import apply_passes, relative_error
from snnconvert.load import load_model
from snnconvert.load.asked import Asked

from .members import ZOO, populations, samples


def save(net: nn.Module, x: Tensor, folder: Path, form: str) -> Path:
    """Save a network as traced or scripted TorchScript (.pt), or as an exported program (.pt2)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls TorchScript deprecated
        if form == "exported":
            path = folder / "net.pt2"
            torch.export.save(torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("N")},)), path)
            return path
        path = folder / "net.pt"
        torch.jit.save(torch.jit.script(net) if form == "scripted" else torch.jit.trace(net, x), path)
        return path


NAMES = ("ResNet-18", "MobileNetV2", "GoogLeNet", "ShuffleNetV2", "U-Net, nearest")


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *((name, form) for name in NAMES for form in ("traced", "scripted")),
        *(pytest.param(name, "exported", marks=pytest.mark.slow if name != "ResNet-18" else ()) for name in NAMES),
    ],
)
def test_file_of_torch_is_read_as_the_network(name: str, form: str, tmp_path: Path) -> None:
    member = ZOO[name]
    net, x = member.net(), samples(member.input_shape, 32, seed=7)
    loaded = load_model(save(net, x[:2], tmp_path, form), Asked(input_shape=member.input_shape))
    assert loaded.graph.input_shape == member.input_shape
    loaded.compare(x.numpy())
    with torch.no_grad():
        expected, got = net(x), loaded.graph.run(x)
    assert relative_error(got, expected) <= 1e-4
    assert torch.equal(got.argmax(1), expected.argmax(1))
    assert len(expected.argmax(1).unique()) > 1
    folded, _ = apply_passes(loaded.graph, PASSES, x[:2])
    assert len(folded.activations) == populations(net, x[:1])
