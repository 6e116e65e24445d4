"""The architectures as published: full width, images of 224 pixels."""

from pathlib import Path

import pytest
import torch

from snnconvert.graph import relative_error

from .conversion import Conversion
from .members import FULL, populations

pytestmark = pytest.mark.slow
HEAVY = ("VGG-11", "VGG-16", "U-Net, transposed", "U-Net, nearest")  # minutes for each hundred steps


@pytest.mark.parametrize("name", FULL)
def test_architecture_of_full_size_converts(name: str, tmp_path: Path) -> None:
    conversion = Conversion(FULL[name], "legacy", tmp_path, count=2)
    assert 0.1 < conversion.expected.square().mean().sqrt() < 10
    conversion.loaded.compare(conversion.x.numpy())
    conversion.path.unlink()  # pytest keeps its folders, and this is half a gigabyte
    with torch.no_grad():
        assert relative_error(conversion.loaded.graph.run(conversion.x), conversion.expected) <= 1e-4
    assert len(conversion.norms_left) == FULL[name].unfolded
    for per_channel in (True, False):
        assert conversion.form_error(per_channel) <= 1e-4
    assert len(conversion.network(True).neurons) == populations(conversion.net, conversion.x)
    early, late = conversion.output_errors(True, [16, 64] if name in HEAVY else [64, 256])
    assert late < 0.8 * early
