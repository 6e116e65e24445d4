"""Small networks, each about one construct that converters get wrong."""

import torch
from torch import Tensor, nn

from .networks import channels, conv_bn, conv_bn_relu, head


def one_dimensional(width: float, classes: int = 5) -> nn.Module:
    """A classifier of signals ``(2, L)``."""
    a, b = channels(32, width), channels(64, width)
    return nn.Sequential(
        *(nn.Conv1d(2, a, 7, stride=2, padding=3, bias=False), nn.BatchNorm1d(a), nn.ReLU(), nn.MaxPool1d(3, 2, 1)),
        *(nn.Conv1d(a, b, 3, padding=2, dilation=2), nn.BatchNorm1d(b), nn.ReLU(), nn.AvgPool1d(2)),
        *(nn.Conv1d(b, b, 3, padding=1, groups=2), nn.BatchNorm1d(b), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()),
        *(nn.Linear(b, 2 * b), nn.BatchNorm1d(2 * b), nn.ReLU(), nn.Linear(2 * b, classes)),
    )


class ChannelsLast(nn.Module):
    """Takes ``(H, W, C)``; all but the convolutions and pools see channels last, as in an export from TensorFlow."""

    def __init__(self, width: float, classes: int = 5) -> None:
        super().__init__()
        a, b = channels(32, width), channels(64, width)
        self.convs = nn.ModuleList([nn.Conv2d(3, a, 3, padding=1), nn.Conv2d(a, b, 3, padding=1), nn.Conv2d(b, b, 3)])
        self.scales = nn.ParameterList([torch.rand(each.out_channels) + 0.5 for each in self.convs])
        self.shifts = nn.ParameterList([torch.randn(each.out_channels) / 4 for each in self.convs])
        self.relus = nn.ModuleList(nn.ReLU() for _ in self.convs)
        self.pool = nn.MaxPool2d(2)
        self.last = nn.LazyLinear(classes)

    def forward(self, x: Tensor) -> Tensor:
        for conv, scale, shift, relu in zip(self.convs, self.scales, self.shifts, self.relus, strict=True):
            x = relu(conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) * scale + shift)
            x = self.pool(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.last(x.flatten(1))


def grouped(width: float, classes: int = 5) -> nn.Module:
    """Grouped, depthwise, dilated and strided convolutions, and a depthwise one that multiplies the channels."""
    a, b = channels(32, width), channels(64, width)
    return nn.Sequential(
        conv_bn_relu(3, a, 5, stride=2),
        conv_bn_relu(a, b, 3, groups=4),
        conv_bn_relu(b, b, 3, groups=b, dilation=2, padding=2),
        conv_bn_relu(b, 2 * b, 3, groups=b),
        conv_bn_relu(2 * b, b, (3, 2), stride=(2, 1), dilation=(1, 3), padding=(0, 2), groups=2),
        conv_bn(b, b, 1, groups=4),
        nn.ReLU(),
        head(b, classes),
    )


def ceil_pooling(width: float, classes: int = 5) -> nn.Module:
    """Pools whose last window hangs over the border."""
    a, b = channels(32, width), channels(64, width)
    return nn.Sequential(
        *(conv_bn_relu(3, a, 3), nn.MaxPool2d(3, 2, ceil_mode=True)),
        *(conv_bn_relu(a, b, 3), nn.AvgPool2d(3, 2, ceil_mode=True)),
        *(conv_bn_relu(b, b, 3), nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=True)),
        *(conv_bn_relu(b, b, 3), nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)),
        *(nn.Flatten(), nn.LazyLinear(classes)),
    )


class TwoHeads(nn.Module):
    """Class logits, and a second answer from the middle of the network."""

    def __init__(self, width: float, classes: int = 5) -> None:
        super().__init__()
        a, b = channels(32, width), channels(64, width)
        self.stem = nn.Sequential(conv_bn_relu(3, a, 3, stride=2), conv_bn_relu(a, b, 3, stride=2))
        self.auxiliary = head(b, classes + 1)
        self.main = nn.Sequential(conv_bn_relu(b, b, 3), head(b, classes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        return self.main(x), self.auxiliary(x)


def dense_prediction(width: float) -> nn.Module:
    """A map ``(2, H, W)``, signed."""
    a = channels(32, width)
    return nn.Sequential(conv_bn_relu(3, a, 3), conv_bn_relu(a, a, 3), conv_bn(a, 2, 3))


def regression(width: float) -> nn.Module:
    """One number."""
    a = channels(32, width)
    return nn.Sequential(
        conv_bn_relu(3, a, 3, stride=2), conv_bn_relu(a, a, 3, stride=2), nn.Flatten(), nn.LazyLinear(1)
    )


def leaky(width: float, classes: int = 5) -> nn.Module:
    a, b = channels(32, width), channels(64, width)
    return nn.Sequential(
        *(nn.Conv2d(3, a, 3, padding=1, bias=False), nn.BatchNorm2d(a), nn.LeakyReLU(0.1), nn.MaxPool2d(2)),
        *(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.LazyLinear(b), nn.LeakyReLU(0.3), nn.Linear(b, classes)),
    )


def prelu(width: float, classes: int = 5) -> nn.Module:
    """One slope a channel, one slope for all, and slopes on both sides of zero."""
    a, b = channels(32, width), channels(64, width)
    net = nn.Sequential(
        *(nn.Conv2d(3, a, 3, padding=1, bias=False), nn.BatchNorm2d(a), nn.PReLU(a), nn.AvgPool2d(2)),
        *(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.PReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.LazyLinear(b), nn.PReLU(b), nn.Linear(b, classes)),
    )
    for module in net:
        if isinstance(module, nn.PReLU) and module.num_parameters > 1:
            nn.init.uniform_(module.weight, -0.5, 0.9)
    return net


class UnfoldableNorms(nn.Module):
    """Batch norms with nowhere to go: before zero padding, behind a concatenation, between a rectifier and a pool."""

    def __init__(self, width: float, classes: int = 5) -> None:
        super().__init__()
        a = channels(32, width)
        self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in (3, a, 2 * a, a, a))
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in ((3, a), (a, a), (2 * a, a), (a, a)))
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(4))
        self.max, self.mean = nn.MaxPool2d(2), nn.AvgPool2d(2)
        self.head = head(a, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relus[0](self.convs[0](self.norms[0](x)))
        y = self.relus[1](self.convs[1](self.norms[1](x)))
        z = self.convs[2](self.norms[2](torch.cat([x, y], 1)))
        z = self.mean(self.norms[3](self.relus[2](z)))
        return self.head(self.max(self.norms[4](self.relus[3](self.convs[3](z)))))


def pixel_shuffle(width: float) -> nn.Module:
    """Super-resolution (Shi et al. 2016): channels become pixels."""
    a = channels(32, width)
    return nn.Sequential(
        *(conv_bn_relu(3, a, 5), conv_bn_relu(a, 4 * a, 3), nn.PixelShuffle(2)),
        *(conv_bn_relu(a, a, 3), nn.Conv2d(a, 4, 3, padding=1), nn.PixelShuffle(2)),
    )


def explicit_padding(width: float, classes: int = 5) -> nn.Module:
    """Padding as a layer of its own, more at the end than at the start, as TensorFlow pads what it halves."""
    a, b = channels(32, width), channels(64, width)
    down = {"stride": 2, "padding": 0}
    return nn.Sequential(
        *(nn.ZeroPad2d((0, 1, 0, 1)), conv_bn_relu(3, a, 3, **down), nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(3, 2)),
        *(nn.ZeroPad2d((1, 2, 1, 2)), conv_bn_relu(a, b, 5, **down), nn.ZeroPad2d(1), conv_bn(b, b, 3, padding=0)),
        *(nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes)),
    )


class Shared(nn.Module):
    """One block that runs three times, with the same weights and the same rectifier."""

    def __init__(self, width: float, classes: int = 5) -> None:
        super().__init__()
        a = channels(32, width)
        self.stem, self.conv, self.relu = conv_bn_relu(3, a, 3, stride=2), nn.Conv2d(a, a, 3, padding=1), nn.ReLU()
        self.head = head(a, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = self.relu((self.conv(x) + x) / 2)
        return self.head(x)


class Arithmetic(nn.Module):
    """Splits, differences, permuted channels, clips, constants and sums over space, as people write them by hand."""

    def __init__(self, width: float, classes: int = 5) -> None:
        super().__init__()
        a = channels(32, width)
        self.first, self.second, self.third = conv_bn(3, 2 * a, 3, stride=2), conv_bn(a, a, 3), conv_bn(a, 2 * a, 3)
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(4))
        self.clip = nn.Hardtanh(0.0, 2.0)
        self.register_buffer("order", torch.randperm(2 * a))
        self.last = nn.Linear(2 * a, classes)

    def forward(self, x: Tensor) -> Tensor:
        left, right = torch.split(self.first(2 * x - 0.5), self.second[0].in_channels, dim=1)
        left, right = self.relus[0](left), self.relus[1](-right)
        x = self.relus[2](self.second(left - right) - left / 2)
        x = self.clip(self.third(x)).index_select(1, self.order)
        return self.last(self.relus[3](1 - x).sum((2, 3)) / 64)


class Moves(nn.Module):
    """Reflected and repeated borders, flips, copies of channels, and sums that spread one value over space."""

    def __init__(self, width: float, classes: int = 5) -> None:
        super().__init__()
        a = channels(32, width)
        self.stem, self.middle = conv_bn_relu(3, a, 3, stride=2), conv_bn_relu(2 * a, a, 3, stride=2)
        self.reflected, self.repeated = nn.ReflectionPad2d((1, 2, 0, 1)), nn.ReplicationPad2d(1)
        self.relu = nn.ReLU()
        self.head = head(a, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reflected(self.stem(x))
        x = self.middle(self.repeated(x.flip(3).repeat(1, 2, 1, 1)))
        return self.head(self.relu(x - x.mean((2, 3), keepdim=True).expand_as(x) / 2) + x.mean(1, keepdim=True))


class Autoencoder(nn.Module):
    """Down to a few numbers and up again: from a linear layer to channels, and transposed convolutions that overlap."""

    def __init__(self, width: float) -> None:
        super().__init__()
        a, b = channels(32, width), channels(64, width)
        self.encoder = nn.Sequential(
            conv_bn_relu(3, a, 3, stride=2), conv_bn_relu(a, b, 3, stride=2), nn.Flatten(), nn.LazyLinear(8)
        )
        self.inner = nn.Sequential(nn.Linear(8, b * 16), nn.ReLU())
        self.decoder = nn.Sequential(
            *(nn.ConvTranspose2d(b, a, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(a), nn.ReLU()),
            *(nn.ConvTranspose2d(a, a, 3, stride=2, padding=1, output_padding=1, groups=2), nn.BatchNorm2d(a)),
            *(nn.ReLU(), nn.Conv2d(a, 3, 3, padding=1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(self.encoder(x))
        return self.decoder(x.view(x.shape[0], -1, 4, 4))


class Mixer(nn.Module):
    """Linear layers along the places, then along the channels (Tolstikhin et al. 2021, without layer norm)."""

    def __init__(self, width: float, classes: int = 5) -> None:
        super().__init__()
        a = channels(64, width)
        self.patches = nn.Conv2d(3, a, 8, stride=8)
        self.places = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))
        self.features = nn.Sequential(nn.Linear(a, 2 * a), nn.ReLU(), nn.Linear(2 * a, a))
        self.last = nn.Sequential(nn.ReLU(), nn.Linear(a, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2)
        x = (x + self.places(x)).transpose(1, 2)
        return self.last((x + self.features(x)).mean(1))


class Pyramid(nn.Module):
    """Pools of several sizes beside each other, and a small map made large again to be added and concatenated."""

    def __init__(self, width: float, classes: int = 3) -> None:
        super().__init__()
        a = channels(32, width)
        self.stem, self.small = conv_bn_relu(3, a, 3), conv_bn_relu(4 * a, a, 3, stride=2)
        self.pools = nn.ModuleList(nn.MaxPool2d(size, 1, size // 2) for size in (3, 5, 7))
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.side, self.last = conv_bn_relu(a, a, 1), nn.Conv2d(2 * a, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.up(self.small(torch.cat([x, *(pool(x) for pool in self.pools)], 1)))
        return self.last(torch.cat([self.side(x) + y, y], 1))
