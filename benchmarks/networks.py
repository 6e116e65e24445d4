"""The real networks, with their data, preprocessing and the accuracy that their source states."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from onnx import TensorProto, helper, save_model

from benchmarks.report import DATA
from snnconvert.graph import OnnxWriter

IMAGENET = "mean=0.485/0.456/0.406,std=0.229/0.224/0.225"


@dataclass(frozen=True)
class Network:
    """A model file, its sets and preprocessing; ``accuracy`` in percent, over ``whole`` test sets or a part of one."""

    name: str
    calib: str
    evaluation: str | None
    preprocess: str
    accuracy: float
    exact: bool = True


CIFAR = (str(DATA / "cifar10/calib.npz"), str(DATA / "cifar10/test.npz"))
MNIST = (f"{DATA}/mnist:train", f"{DATA}/mnist:test")
FOLDER = str(DATA / "imagenet")
NETWORKS = (
    Network("cifar10_akamaster_resnet20", *CIFAR, f"scale=1/255,{IMAGENET}", 91.73),
    Network("cifar10_akamaster_resnet20_bn", *CIFAR, f"scale=1/255,{IMAGENET}", 91.73),
    Network("cifar10_akamaster_resnet20_dynamo", *CIFAR, f"scale=1/255,{IMAGENET}", 91.73),
    Network("cifar10_mlperf_resnet8", *CIFAR, "none", 87.21),
    Network("mnist_cntk_mnist-8", *MNIST, "none", 98.91),
    Network("mnist_ccoltong_lenetreg", *MNIST, "scale=1/255", 99.19),
    Network("mnist_ademrahal_lenet5", *MNIST, "scale=1/255", 98.22),
    Network("mnist_sinabs_cnn_avgpool", *MNIST, "scale=1/255", 97.88),
    Network("squeezenet1.1_imagenet", FOLDER, FOLDER, f"crop=224,scale=1/255,{IMAGENET}", 61.3, exact=False),
    Network("mobilenetv1_0.25_224_imagenet", FOLDER, FOLDER, "crop=224,scale=1/127.5,mean=1,std=1", 59.0, exact=False),
)
BY_NAME = {network.name: network for network in NETWORKS}


def path_of(name: str) -> str:
    """Return the path of a model file."""
    return str(DATA / "models" / f"{name}.onnx")


def write_vgg_like(path: Path) -> None:
    """Write a CIFAR network of 3x3 convolutions, 64-64-pool-128-128-pool-256-256-pool-10, with average pools.

    It is not trained (Kaiming's initial weights, torch's initial biases, a fixed seed): for times, not for accuracy.
    """
    make, writer = torch.Generator().manual_seed(1), OnnxWriter()

    def parameters(*shape: int) -> list[str]:
        inputs = math.prod(shape[1:])
        weight = torch.randn(shape, generator=make) * math.sqrt(2 / inputs)
        bias = (2 * torch.rand(shape[0], generator=make) - 1) / math.sqrt(inputs)
        return [writer.constant("weight", weight), writer.constant("bias", bias)]

    value, channels = "input", 3
    for stage, width in enumerate((64, 128, 256), 1):
        for name in (f"{stage}a", f"{stage}b"):
            inputs = [value, *parameters(width, channels, 3, 3)]
            convolved = writer.node("Conv", inputs, f"conv{name}", kernel_shape=[3, 3], pads=[1] * 4)
            value, channels = writer.node("Relu", [convolved], f"relu{name}"), width
        value = writer.node("AveragePool", [value], f"pool{stage}", kernel_shape=[2, 2], strides=[2, 2])
    flat = writer.node("Flatten", [value], "flat")
    writer.node("Gemm", [flat, *parameters(10, channels * 4 * 4)], "output", transB=1)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("input", ["N", 3, 32, 32]), ("output", ["N", 10]))
    ]
    graph = helper.make_graph(writer.nodes, "vgg_like", ends[:1], ends[1:], writer.initializers)
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
