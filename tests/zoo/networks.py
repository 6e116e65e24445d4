"""Well-known architectures in plain torch, of any width; every nonlinearity is a module of its own."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


def channels(count: int, width: float) -> int:
    """Scale a number of channels; it stays a multiple of 4, so that it can be split and grouped."""
    return max(4, 4 * round(count * width / 4))


def conv_bn(inputs: int, outputs: int, kernel: Any, relu: nn.Module | None = None, **rest: Any) -> nn.Sequential:
    """Convolution (padded to the same size unless told otherwise), batch norm, and a rectifier if one is given."""
    if "padding" not in rest:
        rest["padding"] = tuple(k // 2 for k in kernel) if isinstance(kernel, tuple) else kernel // 2
    layers = [nn.Conv2d(inputs, outputs, kernel, bias=False, **rest), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([relu] if relu else []))


def conv_bn_relu(inputs: int, outputs: int, kernel: Any, **rest: Any) -> nn.Sequential:
    return conv_bn(inputs, outputs, kernel, nn.ReLU(), **rest)


def head(inputs: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


# VGG (Simonyan and Zisserman 2014)

VGG11 = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0)
VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


def vgg(plan: Sequence[int], width: float, size: int, classes: int = 10) -> nn.Module:
    layers: list[nn.Module] = []
    last = 3
    for count in plan:
        if count == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(last, channels(count, width), 3, padding=1), nn.BatchNorm2d(channels(count, width))]
        layers.append(nn.ReLU(inplace=True))
        last = channels(count, width)
    wide, space = channels(4096, width), size // 32
    classifier = [nn.AdaptiveAvgPool2d(space), nn.Flatten(), nn.Linear(last * space**2, wide), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*layers, *classifier, nn.Linear(wide, wide), nn.ReLU(), nn.Dropout(), nn.Linear(wide, classes))


# ResNet (He et al. 2015)


class Residual(nn.Module):
    """A basic block, or a bottleneck where ``expansion`` is over 1."""

    def __init__(self, inputs: int, planes: int, stride: int, expansion: int) -> None:
        super().__init__()
        outputs = planes * expansion
        if expansion == 1:
            first = [conv_bn_relu(inputs, planes, 3, stride=stride)]
        else:
            first = [conv_bn_relu(inputs, planes, 1), conv_bn_relu(planes, planes, 3, stride=stride)]
        self.body = nn.Sequential(*first, conv_bn(planes, outputs, 3 if expansion == 1 else 1))
        self.shortcut = conv_bn(inputs, outputs, 1, stride=stride) if stride > 1 or inputs != outputs else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        out += self.shortcut(x)
        return self.relu(out)


def resnet(blocks: Sequence[int], expansion: int, width: float, classes: int = 10) -> nn.Module:
    last = channels(64, width)
    layers: list[nn.Module] = [conv_bn_relu(3, last, 7, stride=2), nn.MaxPool2d(3, 2, 1)]
    for stage, count in enumerate(blocks):
        planes = channels(64 * 2**stage, width)
        for block in range(count):
            layers.append(Residual(last, planes, 2 if stage > 0 and block == 0 else 1, expansion))
            last = planes * expansion
    return nn.Sequential(*layers, head(last, classes))


# ResNet v2 (He et al. 2016): batch norm and rectifier before the convolution


class PreActivation(nn.Module):
    """What is added up is never rectified; the shortcut takes the rectified value where it is a convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.body = nn.Sequential(
            conv_bn_relu(inputs, outputs, 3, stride=stride), nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        )
        changes = stride > 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        out = self.first(x)
        return self.body(out) + (x if self.shortcut is None else self.shortcut(out))


def resnet_v2(blocks: Sequence[int], width: float, classes: int = 10) -> nn.Module:
    last = channels(64, width)
    layers: list[nn.Module] = [nn.Conv2d(3, last, 7, stride=2, padding=3, bias=False), nn.MaxPool2d(3, 2, 1)]
    for stage, count in enumerate(blocks):
        for block in range(count):
            layers.append(PreActivation(last, channels(64 * 2**stage, width), 2 if stage > 0 and block == 0 else 1))
            last = channels(64 * 2**stage, width)
    return nn.Sequential(*layers, nn.BatchNorm2d(last), nn.ReLU(), head(last, classes))


# MobileNetV2 (Sandler et al. 2018)


class InvertedResidual(nn.Module):
    """Expand, depthwise, and a linear bottleneck without a rectifier."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.body = nn.Sequential(
            *([conv_bn(inputs, wide, 1, nn.ReLU6())] if expansion > 1 else []),
            conv_bn(wide, wide, 3, nn.ReLU6(), stride=stride, groups=wide),
            conv_bn(wide, outputs, 1),
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


MOBILENET = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenet_v2(width: float, classes: int = 10) -> nn.Module:
    last = channels(32, width)
    layers: list[nn.Module] = [conv_bn(3, last, 3, nn.ReLU6(), stride=2)]
    for expansion, planes, count, stride in MOBILENET:
        for block in range(count):
            layers.append(InvertedResidual(last, channels(planes, width), stride if block == 0 else 1, expansion))
            last = channels(planes, width)
    wide = channels(1280, width)
    return nn.Sequential(*layers, conv_bn(last, wide, 1, nn.ReLU6()), nn.Dropout(0.2), head(wide, classes))


# DenseNet (Huang et al. 2016)


class DenseLayer(nn.Module):
    """Batch norm before the rectifier, twice; the input is kept beside the output."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        first = [nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, 4 * growth, 1, bias=False)]
        second = [nn.BatchNorm2d(4 * growth), nn.ReLU(), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)]
        self.body = nn.Sequential(*first, *second)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.body(x)], 1)


def densenet(blocks: Sequence[int], width: float, classes: int = 10) -> nn.Module:
    growth, last = channels(32, width), channels(64, width)
    layers: list[nn.Module] = [conv_bn_relu(3, last, 7, stride=2), nn.MaxPool2d(3, 2, 1)]
    for position, count in enumerate(blocks):
        if position:
            layers += [nn.BatchNorm2d(last), nn.ReLU(), nn.Conv2d(last, last // 2, 1, bias=False), nn.AvgPool2d(2)]
            last //= 2
        for _ in range(count):
            layers.append(DenseLayer(last, growth))
            last += growth
    return nn.Sequential(*layers, nn.BatchNorm2d(last), nn.ReLU(), head(last, classes))


# ShuffleNetV2 (Ma et al. 2018)


class ShuffleUnit(nn.Module):
    """Half of the channels pass; then the channels of both halves are shuffled."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.split = stride == 1
        last = inputs // 2 if self.split else inputs
        depthwise = conv_bn(half, half, 3, stride=stride, groups=half)
        self.right = nn.Sequential(conv_bn_relu(last, half, 1), depthwise, conv_bn_relu(half, half, 1))
        self.left = nn.Sequential(
            conv_bn(inputs, inputs, 3, stride=stride, groups=inputs), conv_bn_relu(inputs, half, 1)
        )
        if self.split:
            self.left = nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        if self.split:
            kept, changed = x.chunk(2, dim=1)
        else:
            kept, changed = x, x
        out = torch.cat((self.left(kept), self.right(changed)), 1)
        samples, count, height, width = out.shape
        return out.view(samples, 2, count // 2, height, width).transpose(1, 2).reshape(samples, count, height, width)


def shufflenet_v2(width: float, classes: int = 10) -> nn.Module:
    last = channels(24, width)
    layers: list[nn.Module] = [conv_bn_relu(3, last, 3, stride=2), nn.MaxPool2d(3, 2, 1)]
    for planes, count in ((116, 4), (232, 8), (464, 4)):
        for block in range(count):
            layers.append(ShuffleUnit(last, channels(planes, width), 2 if block == 0 else 1))
            last = channels(planes, width)
    return nn.Sequential(*layers, conv_bn_relu(last, channels(1024, width), 1), head(channels(1024, width), classes))


# U-Net (Ronneberger et al. 2015)


class UNet(nn.Module):
    """``depth`` halvings; what goes up is a transposed convolution, or nearest neighbours and a convolution."""

    def __init__(self, width: float, depth: int, transposed: bool, classes: int = 3) -> None:
        super().__init__()
        counts = [channels(64 * 2**level, width) for level in range(depth + 1)]

        def double(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(conv_bn_relu(inputs, outputs, 3), conv_bn_relu(outputs, outputs, 3))

        def up(inputs: int, outputs: int) -> nn.Module:
            if transposed:
                return nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
            return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(inputs, outputs, 1))

        pairs = [*pairwise(counts)]
        self.first = double(3, counts[0])
        self.down = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), double(a, b)) for a, b in pairs)
        self.up = nn.ModuleList(up(b, a) for a, b in reversed(pairs))
        self.merge = nn.ModuleList(double(2 * a, a) for a, _ in reversed(pairs))
        self.last = nn.Conv2d(counts[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.first(x)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([levels.pop(), up(x)], 1))
        return self.last(x)
