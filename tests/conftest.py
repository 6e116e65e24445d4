import importlib.util
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numba
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real networks and data; most machines have none, and then the tests that ask for it are skipped."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SNNCONVERT_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data: set SNNCONVERT_DATA to its folder ({folder} is not there)")
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Run small networks on one thread: waiting for others takes longer than they take, where cores are shared."""
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


@pytest.fixture(scope="session")
def nets() -> ModuleType:
    """The small networks of nets.py, built from operators."""
    spec = importlib.util.spec_from_file_location("nets", Path(__file__).with_name("nets.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def save_onnx(tmp_path: Path) -> Callable[..., Path]:
    """Save nodes and weights as an ONNX file with the input ``x``; its output is that of the last node."""
    count = itertools.count()

    def save(
        nodes: Sequence[onnx.NodeProto],
        weights: Mapping[str, np.ndarray] | None = None,
        shape: Sequence[int] = (3, 8, 8),
        *,
        batch: int | str = "N",
        opset: int = 18,
        output: str | None = None,
        change: Callable[[onnx.ModelProto], object] | None = None,
    ) -> Path:
        graph = helper.make_graph(
            list(nodes),
            "net",
            [helper.make_tensor_value_info("x", FLOAT, [batch, *shape])],
            [helper.make_tensor_value_info(nodes[-1].output[0] if output is None else output, FLOAT, None)],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
        )
        opsets = [helper.make_opsetid("", opset)]
        version = helper.find_min_ir_version_for(opsets)
        model = helper.make_model(graph, opset_imports=opsets, ir_version=version)
        if change is not None:
            change(model)
        path = tmp_path / f"net{next(count)}.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return save
