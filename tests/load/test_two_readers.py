"""What torch's reader would find elsewhere in an archive than ours, and numbers that stand for no size."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from snnconvert.errors import ModelError
from snnconvert.load import torchscript
from snnconvert.load.archive import read_archive
from snnconvert.load.asked import Asked
from snnconvert.load.torch_model import read_torch
from snnconvert.load.torch_pickle import Object, TypedList
from snnconvert.load.torchscript import read_torchscript
from snnconvert.load.torchscript_code import read_code


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return buffer.getvalue()


@pytest.mark.parametrize("names", [("net/data/a", "net/data/A"), ("net/code/mod.py", "net/code/MOD.py")])
def test_names_that_differ_in_case_alone_are_one_name_to_torch(names: tuple[str, str]) -> None:
    with pytest.raises(ModelError, match=r"E133.*is there twice"):
        read_archive(Path("net.pt"), archive(*names))


def test_archive_behind_another_one_is_refused() -> None:
    with pytest.raises(ModelError, match=r"E133.*something stands before its first member"):
        read_archive(Path("net.pt"), archive("net/a") + archive("net/a"))


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(x)
        if int(x.max()) > 50:
            y = y * 2
        return y


def test_branch_on_what_the_input_holds_is_not_taken_for_what_it_is_on_zeros(
    to_script: Callable[..., bytes],
) -> None:
    with pytest.raises(ModelError, match=r"E1(16|20)"):
        read_torch(Path("net.pt"), to_script(Branching()), Asked((3,))).to_onnx()


CLASS = b"class M(Module):\n  __parameters__ = []\n  def __int__(self: __torch__.M) -> int:\n    return 1\n"


def test_method_that_runs_without_a_call_is_refused() -> None:
    with pytest.raises(ModelError, match=r"E130.*__int__, which runs without a call"):
        read_code("net.pt", {"code/__torch__.py": CLASS})


def test_source_code_without_end_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ModelError, match=r"E121.*more than 262144 arguments and calls"):
        read_code("net.pt", {"code/__torch__.py": b"a = [" + b"1, " * 300_000 + b"]"})


class Counting(nn.Module):
    """It asks for more each time that it runs, which is more often than once."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("runs", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs.add_(1)
        size = 1
        for _ in range(29):
            size = size * int(self.runs.item())
        more = self.runs.repeat(size)
        return torch.relu(x) + more.sum()


def test_network_that_asks_for_more_when_it_is_exported_meets_the_same_limit(to_script: Callable[..., bytes]) -> None:
    with pytest.raises(ModelError, match=r"E122.*a value of shape \(\d+,\), more than"):
        read_torch(Path("net.pt"), to_script(Counting()), Asked((3,))).to_onnx()


def test_weights_are_handed_over_under_names_of_ours(to_script: Callable[..., bytes]) -> None:
    members = read_archive(Path("net.pt"), to_script(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))))
    kept = read_torchscript("net.pt", members)
    stored = {name: data for name, data in kept.items() if name.startswith("data/")}
    assert [*stored] == [f"data/{index}" for index in range(4)]
    assert {*stored.values()} == {data for name, data in members.items() if name.startswith("data/")}


def test_list_that_is_the_value_of_many_attributes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchscript, "MAX_VALUES", 100)
    attributes = "".join(f"  a{index} : List[int]\n" for index in range(20))
    source = f"class M(Module):\n  __parameters__ = []\n{attributes}"
    code = read_code("net.pt", {"code/__torch__.py": source.encode()})
    shared = TypedList("build_intlist", [0] * 10)
    network = Object("__torch__.M", {f"a{index}": shared for index in range(20)})
    with pytest.raises(ModelError, match=r"E130.*more than 100 values"):
        torchscript._Objects("net.pt", code).check(network)
