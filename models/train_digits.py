"""Make the three embedded networks and their data again from scratch.

python models/train_digits.py --out models --readme models/README.md

writes digits_calib.npz, digits_test.npz, digits_mlp.onnx, digits_cnn.onnx and digits_resnet.onnx into --out, prints
a table of sizes, accuracies and checksums, and puts that table into the README. Needs torch and scikit-learn
(pip install "snnconvert[train]").

The ONNX files are built node by node from the trained weights, not by torch.onnx.export: batch normalisation stays in
the file as BatchNormalization nodes, and the bytes depend on the weights alone.
"""

import argparse
import hashlib
import platform
import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import sklearn
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, train_test_split
from torch import Tensor, nn

SPLIT_SEED = 0  # which images are the test images; --seed does not change it
TEST_IMAGES = 600
SCALE = 1 / 16  # the whole preprocessing: uint8 0..16 becomes float 0..1, outside the network
BATCH = 64
WEIGHT_DECAY = 1e-2
LEARNING_RATE = 3e-3
EPOCHS = 80  # for every network; chosen by --validate, on the training images alone
SHIFTED = 0.25  # share of the training images that is moved by up to a pixel; chosen likewise
EPOCH_CANDIDATES = (40, 80)
SHIFTED_CANDIDATES = (0.0, 0.25, 0.5, 1.0)
FOLDS = 3
OPSET = 17
IR_VERSION = 8  # the IR version that came with opset 17, so that older readers open the files
BEGIN, END = "<!-- begin: written by train_digits.py -->", "<!-- end: written by train_digits.py -->"


@dataclass(frozen=True)
class Digits:
    """Images as stored (uint8, NHWC, 0..16) with their labels (int64)."""

    images: np.ndarray
    labels: np.ndarray

    def inputs(self) -> np.ndarray:
        """Return what a network is fed: float32, NCHW, 0..1."""
        return np.ascontiguousarray(self.images.transpose(0, 3, 1, 2), dtype=np.float32) * np.float32(SCALE)

    def pick(self, index: np.ndarray) -> "Digits":
        """Return the images at the given places."""
        return Digits(self.images[index], self.labels[index])


def load_split() -> tuple[Digits, Digits]:
    """Return (training, test) images: a stratified split that is the same on every run."""
    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[..., np.newaxis]
    if not np.array_equal(images[..., 0], bunch.images):
        raise ValueError("the digits are not whole numbers: uint8 would lose something")
    digits = Digits(images, bunch.target.astype(np.int64))
    train, test = train_test_split(
        np.arange(len(images)), test_size=TEST_IMAGES, stratify=digits.labels, random_state=SPLIT_SEED
    )
    return digits.pick(train), digits.pick(test)


def save_digits(path: Path, digits: Digits) -> None:
    """Write an uncompressed npz: np.savez stamps every member 1980-01-01, so equal arrays give equal bytes."""
    np.savez(path, images=digits.images, labels=digits.labels)


# ---------------------------------------------------------------------------------------------------- the networks


class Residual(nn.Module):
    """ReLU(body(x) + shortcut(x)); an empty shortcut is the identity."""

    def __init__(self, body: nn.Sequential, shortcut: nn.Sequential) -> None:
        super().__init__()
        self.body, self.shortcut, self.relu = body, shortcut, nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return self.relu(self.body(x) + self.shortcut(x))


def conv_bn(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Return a convolution without bias, padded to keep the size at stride 1, and its batch norm."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(c_out)]


def residual(c_in: int, c_out: int, stride: int = 1) -> Residual:
    """Return a two-convolution block; its shortcut is a 1x1 convolution only where the shape changes."""
    body = nn.Sequential(*conv_bn(c_in, c_out, 3, stride), nn.ReLU(), *conv_bn(c_out, c_out))
    same = stride == 1 and c_in == c_out
    return Residual(body, nn.Sequential(*([] if same else conv_bn(c_in, c_out, 1, stride))))


def mlp() -> nn.Sequential:
    """Return 64-128-64-10."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 128), nn.ReLU(),
        nn.Linear(128, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip


def cnn() -> nn.Sequential:
    """Return three convolutions with batch norm, two max pools and two linear layers."""
    return nn.Sequential(
        *conv_bn(1, 16), nn.ReLU(),
        *conv_bn(16, 16), nn.ReLU(), nn.MaxPool2d(2),
        *conv_bn(16, 32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 2 * 2, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def resnet() -> nn.Sequential:
    """Return a stem, an identity block, a stride-2 projection block, global average pooling and a linear layer."""
    return nn.Sequential(
        *conv_bn(1, 16), nn.ReLU(),
        residual(16, 16),
        residual(16, 32, stride=2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


NETWORKS = {"digits_mlp": mlp, "digits_cnn": cnn, "digits_resnet": resnet}


# ------------------------------------------------------------------------------------------------------- training


def shift(x: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Return the images, about that share of them moved by -1, 0 or 1 pixel along both axes; zeros move in."""
    n, _, height, width = x.shape
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    moved = torch.rand((n, 1, 1), generator=rng) < share
    dy, dx = torch.where(moved, torch.randint(0, 3, (2, n, 1, 1), generator=rng), 1)  # 1 is the middle: not moved
    rows = torch.arange(height).view(1, -1, 1) + dy
    columns = torch.arange(width).view(1, 1, -1) + dx
    return padded[torch.arange(n).view(-1, 1, 1), :, rows, columns].permute(0, 3, 1, 2)


def train(name: str, digits: Digits, epochs: int, shifted: float, seed: int) -> nn.Sequential:
    """Return the named network in eval mode after exactly that many epochs on exactly those images."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    net = NETWORKS[name]()
    x, y = torch.from_numpy(digits.inputs()), torch.from_numpy(digits.labels)
    steps = epochs * (len(x) // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    net.train()
    for _ in range(epochs):
        # the last, shorter batch is left out: another order brings those images back in the next epoch
        for index in torch.randperm(len(x), generator=rng)[: len(x) // BATCH * BATCH].split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(shift(x[index], shifted, rng)), y[index]).backward()
            optimiser.step()
            schedule.step()
    return net.eval()


def torch_logits(net: nn.Module, digits: Digits) -> np.ndarray:
    """Return the logits that torch computes."""
    with torch.no_grad():
        return net(torch.from_numpy(digits.inputs())).numpy()


def validate(digits: Digits, seed: int) -> None:
    """Print the cross-validated accuracy of every network and setting; no test image is looked at."""
    print(f"{FOLDS}-fold accuracy on the {len(digits.labels)} training images")
    for name in NETWORKS:
        for epochs, shifted in product(EPOCH_CANDIDATES, SHIFTED_CANDIDATES):
            correct = 0
            folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
            for fit, held in folds.split(digits.images, digits.labels):
                net = train(name, digits.pick(fit), epochs, shifted, seed)
                correct += int((torch_logits(net, digits.pick(held)).argmax(1) == digits.labels[held]).sum())
            accuracy = 100 * correct / len(digits.labels)
            print(f"{name:14s} {epochs:4d} epochs {shifted:5.2f} shifted {accuracy:6.2f} %", flush=True)


# --------------------------------------------------------------------------------------------------------- export


class GraphBuilder:
    """Collects ONNX nodes and weights while it walks a torch module."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, value: Tensor) -> str:
        """Store a weight and return its name."""
        self.weights.append(numpy_helper.from_array(value.detach().numpy(), name))
        return name

    def node(self, op: str, inputs: list[str], path: str, **attributes: object) -> str:
        """Append a node and return the name of its output."""
        output = f"{path}.out"
        self.nodes.append(helper.make_node(op, inputs, [output], name=path, **attributes))
        return output

    def add(self, module: nn.Module, x: str, path: str) -> str:
        """Append the nodes of the module, fed by the tensor x; return the name of its output."""
        match module:
            case nn.Sequential():
                for key, child in module.named_children():
                    x = self.add(child, x, f"{path}.{key}")
                return x
            case Residual():
                body = self.add(module.body, x, f"{path}.body")
                shortcut = self.add(module.shortcut, x, f"{path}.shortcut")
                total = self.node("Add", [body, shortcut], f"{path}.add")
                return self.add(module.relu, total, f"{path}.relu")
            case nn.Conv2d(bias=None):
                pads = [*module.padding, *module.padding]
                inputs = [x, self.weight(f"{path}.weight", module.weight)]
                shape = {"kernel_shape": module.kernel_size, "strides": module.stride, "pads": pads}
                return self.node("Conv", inputs, path, **shape)
            case nn.BatchNorm2d():
                parts = ("weight", "bias", "running_mean", "running_var")
                inputs = [x, *(self.weight(f"{path}.{part}", getattr(module, part)) for part in parts)]
                return self.node("BatchNormalization", inputs, path, epsilon=module.eps)
            case nn.ReLU():
                return self.node("Relu", [x], path)
            case nn.MaxPool2d():
                size = [module.kernel_size] * 2
                return self.node("MaxPool", [x], path, kernel_shape=size, strides=size)
            case nn.AdaptiveAvgPool2d(output_size=1):
                return self.node("GlobalAveragePool", [x], path)
            case nn.Flatten():
                return self.node("Flatten", [x], path, axis=1)
            case nn.Linear():
                parts = ("weight", "bias")
                inputs = [x, *(self.weight(f"{path}.{part}", getattr(module, part)) for part in parts)]
                return self.node("Gemm", inputs, path, transB=1)
        raise TypeError(f"no ONNX form for {module}")


def to_onnx(net: nn.Module, name: str) -> onnx.ModelProto:
    """Return the network as a checked ONNX model: 'input' (N,1,8,8) to 'logits' (N,10), N dynamic."""
    builder = GraphBuilder()
    last = builder.add(net, "input", "net")
    builder.nodes[-1].output[:] = ["logits" if output == last else output for output in builder.nodes[-1].output]
    graph = helper.make_graph(
        builder.nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        builder.weights,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="snnconvert train_digits.py",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def onnx_logits(path: Path, digits: Digits) -> np.ndarray:
    """Return the logits that ONNX Runtime computes from the file."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"input": digits.inputs()})[0]


# --------------------------------------------------------------------------------------------------------- report


def file_row(path: Path) -> str:
    """Return a table row: name, size, SHA-256."""
    data = path.read_bytes()
    return f"| {path.name} | {len(data)} | `{hashlib.sha256(data).hexdigest()}` |"


def report(out: Path, test: Digits, seed: int) -> str:
    """Return the measured facts as Markdown, all of them read back from the files in out."""
    lines = [
        f"| network | stored numbers | nodes | right of {len(test.labels)} | test accuracy |",
        "|---|--:|---|--:|--:|",
    ]
    for name in NETWORKS:
        path = out / f"{name}.onnx"
        graph = onnx.load(path).graph
        ops = [node.op_type for node in graph.node]
        counts = ", ".join(f"{ops.count(op)} {op}" for op in sorted(set(ops)))
        size = sum(int(np.prod(weight.dims)) for weight in graph.initializer)
        right = int((onnx_logits(path, test).argmax(1) == test.labels).sum())
        lines.append(f"| {path.name} | {size} | {counts} | {right} | {100 * right / len(test.labels):.2f} % |")
    lines += ["", "| file | bytes | SHA-256 |", "|---|--:|---|"]
    lines += [file_row(out / f"digits_{part}.npz") for part in ("calib", "test")]
    lines += [file_row(out / f"{name}.onnx") for name in NETWORKS]
    versions = {
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "onnx": onnx.__version__,
        "ONNX Runtime": ort.__version__,
    }
    made_with = ", ".join(f"{key} {value}" for key, value in versions.items())
    lines += ["", f"Made with --seed {seed} and {made_with}."]
    return "\n".join(lines)


def put_into_readme(path: Path, text: str) -> None:
    """Replace what stands between the two marks in the file."""
    old = path.read_text(encoding="utf-8")
    marked = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
    new, count = marked.subn(lambda _: f"{BEGIN}\n{text}\n{END}", old)
    if count != 1:
        raise ValueError(f"{path}: the marks {BEGIN} and {END} must be there once")
    path.write_text(new, encoding="utf-8")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Train and export the embedded digits networks.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, batch order and shifts")
    parser.add_argument("--readme", type=Path, help="file whose marked part the table replaces")
    parser.add_argument("--validate", action="store_true", help="only print cross-validated accuracies, write nothing")
    args = parser.parse_args()

    torch.set_num_threads(1)  # sums in one order on every run
    torch.use_deterministic_algorithms(True)
    training, test = load_split()
    if args.validate:
        validate(training, args.seed)
        return

    args.out.mkdir(parents=True, exist_ok=True)
    save_digits(args.out / "digits_calib.npz", training)
    save_digits(args.out / "digits_test.npz", test)
    for name in NETWORKS:
        net = train(name, training, EPOCHS, SHIFTED, args.seed)
        path = args.out / f"{name}.onnx"
        path.write_bytes(to_onnx(net, name).SerializeToString(deterministic=True))
        off = float(np.abs(onnx_logits(path, training) - torch_logits(net, training)).max())
        if off > 1e-3:
            raise ValueError(f"{name}: the exported logits are off by {off}")
        print(f"{name}: {EPOCHS} epochs, exported logits within {off:.1e} of torch's", flush=True)
    text = report(args.out, test, args.seed)
    print("\n" + text)
    if args.readme:
        put_into_readme(args.readme, text)


if __name__ == "__main__":
    main()
