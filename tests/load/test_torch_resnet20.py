"""A real network in all three of torch's forms."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from snnconvert.load import load_model
from snnconvert.load.asked import Asked


class Shortcut(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.added = (outputs - inputs) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(nn.functional.relu(self.bn1(self.conv1(x)))))
        if self.stride == 2:
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added, self.added), "constant", 0.0)
        return nn.functional.relu(y + x)


class ResNet20(nn.Module):
    """He et al. 2016, option A, with the names of the state dict that there is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Shortcut(16, 16) for _ in range(3)))
        self.layer2 = nn.Sequential(Shortcut(16, 32), Shortcut(32, 32), Shortcut(32, 32))
        self.layer3 = nn.Sequential(Shortcut(32, 64), Shortcut(64, 64), Shortcut(64, 64))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.relu(self.bn1(self.conv1(x)))
        y = self.layer3(self.layer2(self.layer1(y)))
        y = nn.functional.avg_pool2d(y, [y.size(2), y.size(3)])
        z: torch.Tensor = self.linear(y.view(y.size(0), -1))
        return z


@pytest.fixture(scope="module")
def resnet(shared_data: Path) -> nn.Module:
    weights = torch.load(next((shared_data / "models").glob("*resnet20.state_dict.pth")), weights_only=True)
    weights = weights.get("state_dict", weights)
    network = ResNet20()
    network.load_state_dict({name.removeprefix("module."): value for name, value in weights.items()})
    return network.eval()


def answers(model: bytes, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: part})[0].argmax(1) for part in np.split(x, 4)])


@pytest.mark.parametrize("how", ["scripted", "traced", "exported"])
def test_resnet20_answers_as_its_own_onnx_file(
    shared_data: Path,
    resnet: nn.Module,
    to_script: Callable[..., bytes],
    to_program: Callable[..., bytes],
    how: str,
    tmp_path: Path,
) -> None:
    with np.load(shared_data / "cifar10" / "test.npz") as data:
        images = data["images"][:200].transpose(0, 3, 1, 2).astype(np.float32) / 255
    mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    x = ((images - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))).astype(np.float32)
    example = torch.zeros(2, 3, 32, 32)
    if how == "exported":
        content = to_program(resnet, example, True)
    else:
        content = to_script(resnet, example if how == "traced" else None)
    path = tmp_path / "net.pt"
    path.write_bytes(content)
    model = load_model(path, Asked(input_shape=(3, 32, 32))).reference
    expected = answers((shared_data / "models" / "cifar10_akamaster_resnet20.onnx").read_bytes(), x)
    assert np.array_equal(model.run(x).argmax(1), expected)
