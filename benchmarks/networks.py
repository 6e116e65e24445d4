"""The real networks, with their data, preprocessing and the accuracy that their source states."""

from dataclasses import dataclass

from benchmarks.report import DATA

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
