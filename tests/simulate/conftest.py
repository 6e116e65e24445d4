import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numba
import pytest
import torch


@pytest.fixture(scope="session")
def nets() -> ModuleType:
    """The small networks of the tests of the network."""
    spec = importlib.util.spec_from_file_location("nets", Path(__file__).parents[1] / "network" / "nets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Run small networks on one thread: waiting for others takes longer than they take, where cores are shared."""
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])
