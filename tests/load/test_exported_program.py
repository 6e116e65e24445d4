import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from snnconvert.errors import ModelError
from snnconvert.load.archive import read_archive
from snnconvert.load.asked import Asked
from snnconvert.load.exported_program import read_program
from snnconvert.load.torch_model import read_torch

PATH = Path("net.pt2")
WEIGHTS = "data/weights/model_weights_config.json"
Json = Any


def convert(content: bytes, trust: bool = False) -> bytes:
    return read_torch(PATH, content, Asked(trust=trust)).to_onnx()


def refused(content: bytes, match: str, code: str = "E131") -> ModelError:
    with pytest.raises(ModelError, match=match) as caught:
        convert(content)
    assert caught.value.code == code
    assert "\n" not in caught.value.message
    return caught.value


def first_size(model: bytes) -> Any:
    return onnx.load_from_string(model).graph.input[0].type.tensor_type.shape.dim[0]


def test_program_with_a_free_batch_computes_the_same(
    small: nn.Module, exported: bytes, difference: Callable[..., float]
) -> None:
    model = convert(exported)
    assert difference(small, model, torch.randn(5, 2, 8, 8)) < 1e-5
    assert first_size(model).dim_param
    assert onnx.load_from_string(model).graph.input[0].name == "x"
    assert not onnx.load_from_string(model).functions


def test_program_with_a_fixed_batch_computes_the_same(
    small: nn.Module, to_program: Callable[..., bytes], difference: Callable[..., float]
) -> None:
    model = convert(to_program(small, torch.randn(2, 2, 8, 8)))
    assert difference(small, model, torch.randn(2, 2, 8, 8)) < 1e-5
    assert first_size(model).dim_value == 2


class Sizes(nn.Module):
    """Sizes that are computed, constants, buffers, several results of one operator."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gain", torch.full((2, 1, 1), 3.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * self.gain + torch.tensor(2.0)
        first, second = torch.cat([x, torch.relu(x)], 1).chunk(2, 1)
        return (first[:, :, 1:-1] + second[:, :, 1:-1]).reshape(x.shape[0] * 2 // 2, -1).to(torch.float32)


def test_computed_sizes_and_constants_are_kept(
    to_program: Callable[..., bytes], difference: Callable[..., float]
) -> None:
    network = Sizes()
    model = convert(to_program(network, torch.randn(2, 2, 8, 8), True))
    assert difference(network, model, torch.randn(3, 2, 8, 8)) < 1e-5


def test_torch_gets_no_pickle_no_guards_and_no_origins(exported: bytes) -> None:
    after = read_program("net.pt2", read_archive(PATH, exported) | {"data/extra": b"evil"})
    assert after["data/sample_inputs/model.pt"] == b""
    assert "data/extra" not in after
    program = json.loads(after["models/model.json"])
    assert program["guards_code"] == []
    assert {str(node["metadata"]) for node in program["graph_module"]["graph"]["nodes"]} == {"{}"}
    assert b"conftest" not in after["models/model.json"]


class Reduced:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickled_sample_inputs_are_opened_only_where_trusted(
    small: nn.Module,
    exported: bytes,
    edit_archive: Callable[..., bytes],
    difference: Callable[..., float],
    tmp_path: Path,
) -> None:
    buffer = io.BytesIO()
    torch.save(((Reduced(tmp_path / "victim"),), {}), buffer)
    content = edit_archive(exported, {"data/sample_inputs/model.pt": buffer.getvalue()})
    assert read_program("net.pt2", read_archive(PATH, content)) == read_program("net.pt2", read_archive(PATH, exported))
    assert list(tmp_path.iterdir()) == []
    assert difference(small, convert(content, trust=True), torch.randn(3, 2, 8, 8)) < 1e-5
    assert len(list(tmp_path.iterdir())) == 1  # so the attack is a real one


def test_pickled_weight_is_refused_and_not_opened(
    exported: bytes, edit_archive: Callable[..., bytes], edit_json: Callable[..., bytes], tmp_path: Path
) -> None:
    def change(config: Json) -> None:
        next(iter(config["config"].values()))["use_pickle"] = True

    content = edit_archive(exported, {"data/weights/weight_0": pickle.dumps(Reduced(tmp_path / "victim"))})
    refused(edit_json(content, change, WEIGHTS), r"'blocks\.0\.conv\.weight' is pickled")
    assert list(tmp_path.iterdir()) == []


def sizes_of(program: Json) -> list[Json]:
    """Return every size in a program that is a formula."""
    values = program["graph_module"]["graph"]["tensor_values"].values()
    return [size["as_expr"] for value in values for size in (*value["sizes"], *value["strides"]) if "as_expr" in size]


def test_size_that_is_code_is_refused_and_not_run(
    exported: bytes, edit_json: Callable[..., bytes], tmp_path: Path
) -> None:
    victim = tmp_path / "victim"

    def change(program: Json) -> None:
        sizes_of(program)[0]["expr_str"] = f"__import__('pathlib').Path({str(victim)!r}).touch() or 2"

    content = edit_json(exported, change)
    refused(content, r"the size \"__import__.* \(not a formula of integers and symbols\)")
    assert not victim.exists()
    convert(content, trust=True)
    assert victim.exists()  # so the attack is a real one


def graph_of(program: Json) -> Json:
    return program["graph_module"]["graph"]


def set_target(target: str) -> Callable[[Json], None]:
    return lambda program: graph_of(program)["nodes"][1].update(target=target)


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.quantized.linear.default",
        "torch.ops.higher_order.wrap_with_set_grad_enabled",
        "torch.ops.load_library",
        "torch.load",
        "torch.hub.load",
        "torch.ops.aten.relu.__class__",
        "torch.ops.aten.relu.overloads",
        "torch.ops.aten.relu",
        "torch.ops.aten.relu.default.__class__",
        "_operator.attrgetter",
        "_operator.methodcaller",
        "math.factorial",
        "#evil:x",
        "evil",
    ],
)
def test_other_operator_is_refused(exported: bytes, edit_json: Callable[..., bytes], target: str) -> None:
    refused(edit_json(exported, set_target(target)), "is not one that networks need")


def rename_input(name: str) -> Callable[[Json], None]:
    def change(program: Json) -> None:
        text = json.dumps(program).replace('"name": "x"', json.dumps({"name": name})[1:-1])
        text = text.replace('"x": {', json.dumps(name) + ": {")
        program.clear()
        program.update(json.loads(text))

    return change


@pytest.mark.parametrize("name", ["x = print(1)", "x\n", "x;import os", "lambda", "x.y", "é", ""])
def test_name_that_would_be_code_is_refused(exported: bytes, edit_json: Callable[..., bytes], name: str) -> None:
    refused(edit_json(exported, rename_input(name)), "is not an identifier")


def test_other_name_is_accepted(exported: bytes, edit_json: Callable[..., bytes]) -> None:
    assert read_program("net.pt2", read_archive(PATH, edit_json(exported, rename_input("image"))))


def set_argument(argument: Json) -> Callable[[Json], None]:
    return lambda program: graph_of(program)["nodes"][1]["inputs"][0].update(arg=argument)


@pytest.mark.parametrize(
    "argument",
    [
        {"as_operator": "torch.load"},
        {"as_graph": {"name": "x", "graph": {}}},
        {"as_custom_obj": {"name": "x", "class_fqn": "evil"}},
        {"as_string": "evil()"},
        {"as_string_to_argument": {}},
        {"as_int": "1"},
        {"as_int": 2**64},
        {"as_ints": 1},
        {"as_float": "evil"},
        {"as_tensor": {"name": 1}},
        {"as_tensor": {}},
        {"as_tensor": None},
        {"as_sym_int": {"as_name": "x y"}},
        {},
        {"as_int": 1, "as_none": True},
        None,
        3,
    ],
)
def test_other_argument_is_refused(exported: bytes, edit_json: Callable[..., bytes], argument: Json) -> None:
    refused(edit_json(exported, set_argument(argument)), r"net\.pt2: ")


def test_reference_to_nothing_is_one_line(exported: bytes, edit_json: Callable[..., bytes]) -> None:
    change = set_argument({"as_tensor": {"name": "nothing"}})
    refused(edit_json(exported, change), "torch refuses the model", "E116")


@pytest.mark.parametrize(
    ("change", "match", "code"),
    [
        (lambda program: program.pop("graph_module"), "'graph_module' is missing", "E131"),
        (lambda program: program["range_constraints"].update({"x()": {}}), r"a range of 'x\(\)'", "E131"),
        (lambda program: graph_of(program)["nodes"].clear(), "torch refuses the model", "E116"),
        (
            lambda program: graph_of(program)["nodes"].extend([{}] * 50_000),
            "nodes, more than",
            "E121",
        ),
        (lambda program: program["schema_version"].update(major=99), "schema version", "E116"),
    ],
)
def test_other_program_is_refused(
    exported: bytes, edit_json: Callable[..., bytes], change: Callable[[Json], Any], match: str, code: str
) -> None:
    refused(edit_json(exported, change), match, code)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_huge_input_is_refused_before_it_is_made(exported: bytes, edit_json: Callable[..., bytes], axis: int) -> None:
    def change(program: Json) -> None:
        graph_of(program)["tensor_values"]["x"]["sizes"][axis] = {"as_int": 2**40}

    refused(edit_json(exported, change), r"the input: (one sample|a batch of)", "E122")


def test_least_batch_of_a_program_is_respected(small: nn.Module, difference: Callable[..., float]) -> None:
    batch = torch.export.Dim("batch", min=4, max=9)
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(small, (torch.zeros(4, 2, 8, 8),), dynamic_shapes=({0: batch},)), buffer)
    assert difference(small, convert(buffer.getvalue()), torch.randn(4, 2, 8, 8)) < 1e-5


def meta_of(config: Json) -> Json:
    return config["config"]["classify.weight"]["tensor_meta"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda config: meta_of(config)["sizes"][0].update(as_int=2**40), "does not fit its 96 bytes"),
        (lambda config: meta_of(config)["sizes"][0].update(as_int=-3), "does not fit its 96 bytes"),
        (lambda config: meta_of(config).update(storage_offset={"as_int": 1}), "does not fit its 96 bytes"),
        (lambda config: meta_of(config).update(strides=[]), "does not fit its 96 bytes"),
        (lambda config: meta_of(config).update(dtype=8), "does not fit its 96 bytes"),
        (lambda config: meta_of(config).update(dtype=35), "a tensor of type 35"),
        (lambda config: meta_of(config).update(layout=1), "a tensor of type 7 and layout 1"),
        (lambda config: config["config"]["classify.weight"].update(path_name="../evil"), "is pickled"),
        (lambda config: config["config"].update({"__class__": config["config"]["classify.weight"]}), "parameter name"),
    ],
)
def test_weight_that_does_not_fit_is_refused(
    exported: bytes, edit_json: Callable[..., bytes], change: Callable[[Json], Any], match: str
) -> None:
    refused(edit_json(exported, change, WEIGHTS), match)


def test_missing_numbers_are_refused(exported: bytes, edit_archive: Callable[..., bytes]) -> None:
    refused(edit_archive(exported, {"data/weights/weight_0": b""}), "does not fit its 0 bytes")
    refused(edit_archive(exported, {"data/weights/weight_0": None}), "does not fit its 0 bytes")


@pytest.mark.parametrize("text", [b"", b"[" * 10**5, b"{", b"null", b'{"graph_module": NaN}', b"\xff"])
def test_broken_json_is_refused(exported: bytes, edit_archive: Callable[..., bytes], text: bytes) -> None:
    refused(edit_archive(exported, {"models/model.json": text}), "not JSON|is missing")


def test_network_in_training_mode_is_refused(to_program: Callable[..., bytes]) -> None:
    for network in (nn.Sequential(nn.Dropout(0.5)), nn.Sequential(nn.BatchNorm2d(2))):
        problem = refused(
            to_program(network.train(), torch.randn(2, 2, 8, 8)), "training mode|changes its state", "E120"
        )
        assert problem.hint == "call model.eval() before exporting"


class Two(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y


def test_two_inputs_are_refused(edit_json: Callable[..., bytes]) -> None:
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(Two(), (torch.zeros(2), torch.zeros(2))), buffer)
    refused(buffer.getvalue(), "one input expected, got 2", "E124")


class Untranslatable(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_max_pool2d(x, (3, 5))


def test_operator_without_an_onnx_form_is_named(to_program: Callable[..., bytes]) -> None:
    refused(to_program(Untranslatable(), torch.randn(2, 2, 8, 8)), r"no ONNX form of aten\.adaptive_max_pool2d", "E120")


class Huge(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum() + torch.zeros(2**20, 2**20).sum()


def test_value_of_terabytes_is_refused_before_it_is_made(to_program: Callable[..., bytes]) -> None:
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(nn.Identity(), (torch.zeros(2),)), buffer)
    with torch.device("meta"):
        program = torch.export.export(Huge(), (torch.zeros(2),))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    refused(buffer.getvalue(), r"a value of shape \(1048576, 1048576\)", "E122")


def test_older_format_is_refused(exported: bytes, edit_archive: Callable[..., bytes]) -> None:
    old = edit_archive(exported, {"serialized_exported_program.json": b"{}"})
    assert "export the network again" in str(refused(old, "the format of torch.export before torch 2.8").hint)


def test_archive_without_a_program_is_refused(exported: bytes, edit_archive: Callable[..., bytes]) -> None:
    refused(edit_archive(exported, {"models/model.json": None}), "holds no program 'model'")
