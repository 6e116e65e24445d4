"""Architectures of parallel branches: SqueezeNet and two Inceptions."""

from typing import Any

import torch
from torch import Tensor, nn

from .networks import channels, conv_bn_relu, head


class Branches(nn.Module):
    """Runs several modules on one value and concatenates what they give."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


# SqueezeNet 1.1 (Iandola et al. 2016)


def fire(inputs: int, squeeze: int, expand: int) -> nn.Module:
    narrow = nn.Sequential(nn.Conv2d(inputs, squeeze, 1), nn.ReLU())
    left = nn.Sequential(nn.Conv2d(squeeze, expand, 1), nn.ReLU())
    right = nn.Sequential(nn.Conv2d(squeeze, expand, 3, padding=1), nn.ReLU())
    return nn.Sequential(narrow, Branches(left, right))


def squeezenet(width: float, classes: int = 10) -> nn.Module:
    last = channels(64, width)
    layers: list[nn.Module] = [nn.Conv2d(3, last, 3, stride=2), nn.ReLU()]
    for count in (0, 16, 16, 0, 32, 32, 0, 48, 48, 64, 64):
        if count == 0:
            layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            continue
        expand = channels(4 * count, width)
        layers.append(fire(last, channels(count, width), expand))
        last = 2 * expand
    return nn.Sequential(
        *layers, nn.Dropout(), nn.Conv2d(last, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


# GoogLeNet with batch norm (Szegedy et al. 2014; Ioffe and Szegedy 2015)

INCEPTIONS = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)


def googlenet(width: float, classes: int = 10) -> nn.Module:
    def c(count: int) -> int:
        return channels(count, width)

    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    layers: list[nn.Module] = [conv_bn_relu(3, c(64), 7, stride=2), pool]
    layers += [conv_bn_relu(c(64), c(64), 1), conv_bn_relu(c(64), c(192), 3), pool]
    last = c(192)
    for position, (one, narrow3, three, narrow5, five, pooled) in enumerate(INCEPTIONS):
        layers += [pool] if position in (2, 7) else []
        layers.append(
            Branches(
                conv_bn_relu(last, c(one), 1),
                nn.Sequential(conv_bn_relu(last, c(narrow3), 1), conv_bn_relu(c(narrow3), c(three), 3)),
                nn.Sequential(conv_bn_relu(last, c(narrow5), 1), conv_bn_relu(c(narrow5), c(five), 5)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), conv_bn_relu(last, c(pooled), 1)),
            )
        )
        last = c(one) + c(three) + c(five) + c(pooled)
    return nn.Sequential(*layers, nn.Dropout(0.2), head(last, classes))


# Inception v3 (Szegedy et al. 2015), one block of each kind


def inception_v3(width: float, classes: int = 10) -> nn.Module:
    def c(count: int) -> int:
        return channels(count, width)

    def row(*steps: tuple[int, Any], last: int, **rest: Any) -> nn.Sequential:
        layers = []
        for position, (count, kernel) in enumerate(steps, start=1):
            layers.append(conv_bn_relu(last, count, kernel, **(rest if position == len(steps) else {})))
            last = count
        return nn.Sequential(*layers)

    def pooled(last: int, count: int, include: bool) -> nn.Sequential:
        return nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=include), conv_bn_relu(last, count, 1))

    down: dict[str, Any] = {"stride": 2, "padding": 0}
    stem = [conv_bn_relu(3, c(32), 3, **down), conv_bn_relu(c(32), c(64), 3), nn.MaxPool2d(3, 2)]
    a, d = c(64) + c(64) + c(96), 4 * c(192)
    first = Branches(
        row((c(64), 1), last=c(64)), row((c(48), 1), (c(64), 5), last=c(64)), pooled(c(64), c(96), include=True)
    )
    second = Branches(
        row((c(384), 3), last=a, **down), row((c(64), 1), (c(96), 3), (c(96), 3), last=a, **down), nn.MaxPool2d(3, 2)
    )
    b = c(384) + c(96) + a
    third = Branches(
        row((c(192), 1), last=b),
        row((c(128), 1), (c(128), (1, 7)), (c(192), (7, 1)), last=b),
        row((c(128), 1), (c(128), (7, 1)), (c(128), (1, 7)), (c(128), (7, 1)), (c(192), (1, 7)), last=b),
        pooled(b, c(192), include=False),
    )
    fork = Branches(row((c(384), (1, 3)), last=c(384)), row((c(384), (3, 1)), last=c(384)))
    fourth = Branches(
        row((c(320), 1), last=d), nn.Sequential(row((c(384), 1), last=d), fork), pooled(d, c(192), include=True)
    )
    return nn.Sequential(*stem, first, second, third, fourth, head(c(320) + 2 * c(384) + c(192), classes))
