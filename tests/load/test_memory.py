"""What a file makes torch do takes bounded memory, and the limit is gone afterwards."""

import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from snnconvert.errors import LimitError
from snnconvert.load import memory, torch_model
from snnconvert.load.asked import Asked
from snnconvert.load.memory import memory_limited
from snnconvert.load.torch_model import torch_to_onnx

pytestmark = pytest.mark.skipif(not memory.STATUS.exists(), reason="only Linux tells how much memory a process has")


class Doubling(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = [1, 2, 3, 4]
        a = a + a + a + a + a + a + a + a + a + a + a + a + a + a + a + a
        a = a + a + a + a + a + a + a + a + a + a + a + a + a + a + a + a
        a = a + a + a + a + a + a + a + a + a + a + a + a + a + a + a + a
        a = a + a + a + a + a + a + a + a + a + a + a + a + a + a + a + a
        a = a + a + a + a + a + a + a + a + a + a + a + a + a + a + a + a
        a = a + a + a + a + a + a + a + a + a + a + a + a + a + a + a + a
        return torch.relu(x) * len(a)


def test_script_that_doubles_a_list_for_ever_runs_into_the_limit(
    to_script: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_model, "ROOM", 2**28)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(LimitError, match=r"E501.*net\.pt: torch runs out of memory") as refusal:
        torch_to_onnx(Path("net.pt"), to_script(Doubling()), Asked((3,)))
    assert refusal.value.exit_status == 7
    assert "--trust-model" in refusal.value.hint
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_allocation_beyond_the_limit_fails_and_one_below_it_does_not() -> None:
    with memory_limited(2**28):
        assert torch.zeros(2**24).numel() == 2**24
        with pytest.raises(RuntimeError, match="allocate memory"):
            torch.zeros(2**28)
    assert torch.zeros(2**27).numel() == 2**27


def test_no_limit_is_none() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limited(None):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before
