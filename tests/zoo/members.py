"""Every network of the zoo by name: how it is built, on samples of what shape, and with what weights."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import constructs, inceptions, networks

Shape = tuple[int, ...]
Build = Callable[[float, int], nn.Module]
POPULATIONS = {
    nn.ReLU: 1,
    nn.ReLU6: 1,
    nn.Hardtanh: 1,
    nn.LeakyReLU: 2,
    nn.PReLU: 2,
}  # layers of neurons that each becomes


@dataclass(frozen=True)
class Member:
    """``build(width, size)`` makes the module; ``size`` is that of a sample along each axis of space.

    ``unfolded`` is how many batch norms have no weights to go into; ``outputs`` names them, the first one is converted.
    """

    build: Build
    width: float = 1 / 8
    size: int = 32
    shape: Callable[[int], Shape] = lambda size: (3, size, size)
    unfolded: int = 0
    outputs: tuple[str, ...] = ("y",)

    @property
    def input_shape(self) -> Shape:
        return self.shape(self.size)

    def net(self) -> nn.Module:
        return drawn(self.build, self.width, self.size, self.input_shape)


def samples(shape: Shape, count: int, seed: int = 0) -> Tensor:
    """Return coarse random patterns with some noise ``(N, ...)``; they differ in their means too."""
    make = torch.Generator().manual_seed(seed)
    x = torch.randn((count, *(min(size, 4) for size in shape)), generator=make)
    for axis, size in enumerate(shape, start=1):
        x = x.repeat_interleave(math.ceil(size / x.shape[axis]), axis).narrow(axis, 0, size)
    level = torch.randn((count, *(1 for _ in shape)), generator=make)
    return x + level + torch.randn((count, *shape), generator=make) / 4


def drawn(build: Build, width: float, size: int, shape: Shape, seed: int = 0) -> nn.Module:
    """Build a network and draw weights through which signals neither explode nor vanish, deep as it may be.

    Each batch norm takes the statistics of what reaches it, and an affine map of its own. Its shift is positive on
    average: random networks with shifts around zero are chaotic, and the slightest rounding grows from layer to layer.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        net = build(width, size).eval()
        x = samples(shape, 8, seed + 1)
        net(x[:1])  # lazy layers take their shape
        for module in net.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.normal_(module.bias, std=0.1)
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0.5, 0.25)
                module.momentum = None  # the mean of all that passes
                module.train()
        net(x)
    return net.eval()


def populations(net: nn.Module, x: Tensor) -> int:
    """Count the layers of neurons that the network needs: a module that runs twice is two."""
    seen: list[int] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: seen.append(POPULATIONS[type(module)]))
        for module in net.modules()
        if type(module) in POPULATIONS
    ]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return sum(seen)


ARCHITECTURES = {
    "VGG-11": Member(lambda width, size: networks.vgg(networks.VGG11, width, size), 1 / 16),
    "VGG-16": Member(lambda width, size: networks.vgg(networks.VGG16, width, size), 1 / 16),
    "ResNet-18": Member(lambda width, _: networks.resnet((2, 2, 2, 2), 1, width), size=64),
    "ResNet-50": Member(lambda width, _: networks.resnet((3, 4, 6, 3), 4, width), 1 / 16, size=64),
    "ResNet-18 v2": Member(lambda width, _: networks.resnet_v2((2, 2, 2, 2), width), size=64, unfolded=9),
    "MobileNetV2": Member(lambda width, _: networks.mobilenet_v2(width), size=64),
    "SqueezeNet": Member(lambda width, _: inceptions.squeezenet(width), size=64),
    "GoogLeNet": Member(lambda width, _: inceptions.googlenet(width), size=64),
    "Inception v3": Member(lambda width, _: inceptions.inception_v3(width), size=64),
    "DenseNet": Member(lambda width, _: networks.densenet((2, 3, 3), width), size=64, unfolded=11),
    "ShuffleNetV2": Member(lambda width, _: networks.shufflenet_v2(width), size=64),
    "U-Net, transposed": Member(lambda width, _: networks.UNet(width, 3, transposed=True), 1 / 16),
    "U-Net, nearest": Member(lambda width, _: networks.UNet(width, 3, transposed=False), 1 / 16),
}

CONSTRUCTS = {
    "1-d": Member(lambda width, _: constructs.one_dimensional(width), size=64, shape=lambda size: (2, size)),
    "channels last": Member(
        lambda width, _: constructs.ChannelsLast(width), size=30, shape=lambda size: (size, size, 3)
    ),
    "grouped": Member(lambda width, _: constructs.grouped(width)),
    "ceil pooling": Member(lambda width, _: constructs.ceil_pooling(width), size=34),
    "two heads": Member(lambda width, _: constructs.TwoHeads(width), outputs=("logits", "auxiliary")),
    "dense prediction": Member(lambda width, _: constructs.dense_prediction(width), size=16),
    "regression": Member(lambda width, _: constructs.regression(width)),
    "LeakyReLU": Member(lambda width, _: constructs.leaky(width), size=16),
    "PReLU": Member(lambda width, _: constructs.prelu(width), size=16),
    "pixel shuffle": Member(lambda width, _: constructs.pixel_shuffle(width), size=12),
    "explicit padding": Member(lambda width, _: constructs.explicit_padding(width)),
    "shared": Member(lambda width, _: constructs.Shared(width)),
    "arithmetic": Member(lambda width, _: constructs.Arithmetic(width)),
    "moves": Member(lambda width, _: constructs.Moves(width)),
    "autoencoder": Member(lambda width, _: constructs.Autoencoder(width), size=16),
    "mixer": Member(lambda width, _: constructs.Mixer(width)),
    "pyramid": Member(lambda width, _: constructs.Pyramid(width), size=16),
    "unfoldable norms": Member(lambda width, _: constructs.UnfoldableNorms(width), unfolded=1),
}

ZOO = {**ARCHITECTURES, **CONSTRUCTS}
FULL = {  # as published
    **{name: dataclasses.replace(ARCHITECTURES[name], width=1, size=224) for name in ARCHITECTURES},
    "DenseNet": Member(lambda width, _: networks.densenet((6, 12, 24, 16), width), 1, 224, unfolded=62),
    "U-Net, transposed": Member(lambda width, _: networks.UNet(width, 4, transposed=True), 1, 96),
    "U-Net, nearest": Member(lambda width, _: networks.UNet(width, 4, transposed=False), 1, 96),
}
