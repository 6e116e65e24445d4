import copy
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import snnconvert.load.torch_exporters  # noqa: F401 - once, and not in every child that converts a file
from snnconvert.load.archive import read_archive, write_archive

Edit = Callable[[bytes], bytes]


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = nn.functional.relu(self.bn(self.conv(x)))
        return torch.relu(y + self.shortcut(x))


class Small(nn.Module):
    """What networks are made of: a list of blocks, dropout, branches on constants, checks of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(2, 4), Block(4, 4)])
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(0.5)
        self.classify = nn.Linear(8, 3)
        self.doubled: bool = True
        self.gain = 1.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] != 2:
            raise ValueError("two channels expected")
        for block in self.blocks:
            x = block(x)
        x = torch.cat([self.pool(x), self.pool(x) * self.gain], 1)
        if self.doubled:
            x = x * 2
        x = nn.functional.adaptive_avg_pool2d(x, (1, 1))
        x = nn.functional.dropout(torch.flatten(x, 1), 0.5, self.training)
        y: torch.Tensor = self.classify(self.drop(nn.functional.relu6(x)))
        return y


def script_bytes(network: nn.Module, traced_with: torch.Tensor | None = None) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        made = (
            torch.jit.script(network)
            if traced_with is None
            else torch.jit.trace(network, traced_with, check_trace=False)
        )
        torch.jit.save(made, buffer)
    return buffer.getvalue()


def program_bytes(network: nn.Module, x: torch.Tensor, dynamic: bool = False) -> bytes:
    buffer = io.BytesIO()
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network, (x,), dynamic_shapes=shapes), buffer)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def to_script() -> Callable[..., bytes]:
    """A scripted module as a file's content, or a traced one where an input is given."""
    return script_bytes


@pytest.fixture(scope="session")
def to_program() -> Callable[..., bytes]:
    """An exported module as a file's content."""
    return program_bytes


@pytest.fixture(scope="session")
def small() -> nn.Module:
    torch.manual_seed(0)
    network = Small()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


@pytest.fixture(scope="session")
def scripted(small: nn.Module) -> bytes:
    return script_bytes(small)


@pytest.fixture(scope="session")
def exported(small: nn.Module) -> bytes:
    return program_bytes(small, torch.zeros(2, 2, 8, 8), dynamic=True)


@pytest.fixture(scope="session")
def edit_archive() -> Callable[..., bytes]:
    """Change members of an archive: by a function of their bytes, or by new bytes; None leaves one out."""

    def edit(content: bytes, changes: dict[str, Edit | bytes | None]) -> bytes:
        members = read_archive(Path("net"), content)
        for name, change in changes.items():
            if change is None:
                del members[name]
            else:
                members[name] = change if isinstance(change, bytes) else change(members[name])
        buffer = io.BytesIO()
        write_archive(members, buffer)
        return buffer.getvalue()

    return edit


@pytest.fixture(scope="session")
def edit_json(edit_archive: Callable[..., bytes]) -> Callable[..., bytes]:
    """Change a JSON member of an archive in place."""

    def edit(content: bytes, change: Callable[..., object], member: str = "models/model.json") -> bytes:
        def changed(data: bytes) -> bytes:
            tree = json.loads(data)
            change(tree)
            return json.dumps(tree).encode()

        return edit_archive(content, {member: changed})

    return edit


def largest_difference(network: nn.Module, model: bytes, x: torch.Tensor) -> float:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        return float(np.abs(got - copy.deepcopy(network)(x.clone()).numpy()).max())


@pytest.fixture(scope="session")
def difference() -> Callable[[nn.Module, bytes, torch.Tensor], float]:
    """The largest difference between a network's outputs and those of its ONNX model."""
    return largest_difference
