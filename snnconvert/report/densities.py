"""Pictures of how the rates of layers lie over activations: small PNGs that fit a light and a dark page."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnconvert.measure import Density
from snnconvert.report.drawing import as_data_uri

COLOUR = (64, 132, 214)  # seen on white and on black
DIAGONAL = (128, 128, 128, 110)


def densities(found: Mapping[str, Density]) -> list[dict[str, Any]]:
    """Return name, correlation, and a picture as a data URI, of each layer that had any activation or spike."""
    return [
        {"name": name, "correlation": each.correlation, "picture": _picture(each)}
        for name, each in found.items()
        if bool(each.counts.any())
    ]


def _picture(density: Density) -> str:
    from PIL import Image

    counts = density.counts.numpy()
    strength = np.log1p(counts) / np.log1p(counts.max())
    pixels = np.zeros((*counts.shape, 4), np.uint8)
    pixels[..., :3] = COLOUR
    pixels[..., 3] = np.where(counts > 0, 40 + 215 * strength, 0)
    side = np.arange(len(counts))
    empty = counts[side, side] == 0
    pixels[side[empty], side[empty]] = DIAGONAL
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 0, 2)[::-1]))  # rates upwards
    return as_data_uri(image)
