"""Bad models, by their number in the list of what the tool promises to refuse: code, reason, and how they are made."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

make = helper.make_node
MAX_NODES = 50_000
Change = Callable[[onnx.ModelProto], object]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """What is done to a sound network, in a folder that it may fill, and what is told of it."""

    code: str
    reason: str
    change: Change = lambda model: None
    content: Callable[[bytes], bytes] = lambda content: content
    folder: Callable[[Path], object] = lambda folder: None
    nodes: Sequence[onnx.NodeProto] | None = None
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)

    def build(self, folder: Path) -> Path:
        nodes = self.nodes or [
            make("Conv", ["x", "w", "b"], ["a"], name="conv"),
            make("Relu", ["a"], ["r"], name="relu"),
            make("Flatten", ["r"], ["y"], name="flatten"),
        ]
        weights = {"w": noise(4, 3, 3, 3), "b": noise(4), **self.weights}
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        self.change(model)
        path = folder / "net.onnx"
        path.write_bytes(self.content(model.SerializeToString()))
        self.folder(folder)
        return path


def instead(content: bytes) -> Callable[[bytes], bytes]:
    return lambda _: content


NOT_ONNX = "not an ONNX model"
FORMATS = {
    "5 empty": Case("E101", "the file is empty", content=instead(b"")),
    "6 half": Case("E101", NOT_ONNX, content=lambda content: content[: len(content) // 2]),
    "6 nine tenths": Case("E101", NOT_ONNX, content=lambda content: content[: len(content) * 9 // 10]),
    "7 one byte less": Case("E101", NOT_ONNX, content=lambda content: content[:-1]),
    "8 random": Case("E101", NOT_ONNX, content=instead(np.random.default_rng(0).bytes(4096))),
    "8 zero": Case("E101", NOT_ONNX, content=instead(b"\x00")),
    "8 ones": Case("E101", NOT_ONNX, content=instead(b"\xff" * 100)),
    "8 nested": Case("E101", NOT_ONNX, content=instead(b"\x0a" * 1000)),
    "8 deep": Case("E101", NOT_ONNX, content=instead(b"\x3a\x64" * 500)),
    "9 text": Case("E101", NOT_ONNX, content=instead(b"hello, this is text\n" * 20)),
    "9 PNG": Case("E101", NOT_ONNX, content=instead(b"\x89PNG\r\n\x1a\n" + bytes(200))),
    "45 names that are no text": Case(
        "E101", NOT_ONNX, content=lambda content: content.replace(b"conv", b"c\xff\xfev")
    ),
}


def external(**entries: object) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))

    return change


def secret(folder: Path) -> None:
    """Lay weights inside the model's folder and outside of it, and ways from one to the other."""
    for place in (folder, folder.parent):
        (place / "secret").write_bytes(noise(4, 3, 3, 3).tobytes())
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "linked").symlink_to(folder.parent)
    (folder / "deep").mkdir()
    os.link(folder.parent / "secret", folder / "hard")
    os.mkfifo(folder / "pipe")


def at(location: str, code: str, reason: str, **entries: object) -> Case:
    return Case(code, reason, external(location=location, **entries), folder=secret)


EXTERNAL = {
    "11 parent": at("../secret", "E110", "leaves the model's folder"),
    "12 parent of a folder": at("deep/../../secret", "E110", "leaves the model's folder"),
    "13 absolute": at("/etc/passwd", "E110", "leaves the model's folder"),
    "14 link": at("link", "E110", "lies behind, a link"),
    "15 link to a folder": at("linked/secret", "E110", "lies behind, a link"),
    "16 hard link": at("hard", "E110", "is a hard link"),
    "17 device": at("/dev/zero", "E110", "leaves the model's folder"),
    "17 pipe": at("pipe", "E110", "is not a regular file"),
    "18 missing": at("gone", "E111", "cannot be read (No such file or directory)"),
    "19 too short": at("secret", "E111", "ends at byte 432, 433 expected", offset=1),
    "20 negative offset": at("secret", "E111", "offset '-1'", offset=-1),
    "21 length 2**50": at("secret", "E111", "got length 1125899906842624", length=2**50),
    "22 unknown key": at("secret", "E111", "the entry 'base_dir'", base_dir="/"),
    "22 dunder key": at("secret", "E111", "the entry '__class__'", __class__="x"),
}


def of_weight(**fields: object) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        for name, value in fields.items():
            tensor.ClearField(name)
            if isinstance(value, list):
                getattr(tensor, name).extend(value)
            else:
                setattr(tensor, name, value)

    return change


def with_value(value: float) -> Change:
    weight = noise(4, 3, 3, 3)
    weight[2, 1, 0, 2] = value
    return of_weight(raw_data=weight.tobytes())


TENSORS = {
    "23 shorter": Case("E112", "'w' of shape (4, 3, 3, 3): expected 432 of", of_weight(raw_data=bytes(428))),
    "23 longer": Case("E112", "expected 432 of data, got 436", of_weight(raw_data=bytes(436))),
    "23 no data": Case("E112", "got 0", of_weight(raw_data=b"")),
    "23 100 axes": Case("E112", "cannot be decoded", of_weight(dims=[1] * 96 + [4, 3, 3, 3])),
    "23 a segment": Case(
        "E112", "is one segment of a tensor", lambda model: model.graph.initializer[0].segment.SetInParent()
    ),
    "24 product over int64": Case("E112", "of data, got", of_weight(dims=[2**62, 2**62])),
    "24 2**31": Case("E112", "of data, got", of_weight(dims=[2**31, 3, 3, 3])),
    "25 negative": Case("E112", "negative dimension", of_weight(dims=[-4, -3, 3, 3])),
    "26 empty": Case("E112", "is empty", of_weight(dims=[4, 0, 3, 3], raw_data=b"")),
    "26 empty and huge": Case("E112", "is empty", of_weight(dims=[0, 2**62, 2**62], raw_data=b"")),
    "27 unknown type": Case("E112", "unsupported type 999", of_weight(data_type=999)),
    "27 no type": Case("E112", "unsupported type UNDEFINED", of_weight(data_type=0)),
    "27 complex": Case("E112", "unsupported type COMPLEX64", of_weight(data_type=TensorProto.COMPLEX64)),
    "28 text": Case("E112", "unsupported type STRING", of_weight(data_type=TensorProto.STRING)),
    "28 sparse": Case("E112", "sparse", lambda model: model.graph.sparse_initializer.add()),
    "29 NaN": Case("E113", "tensor 'w' holds nan at (2, 1, 0, 2)", with_value(np.nan)),
    "29 infinity": Case("E113", "tensor 'w' holds inf at (2, 1, 0, 2)", with_value(np.inf)),
    "29 minus infinity": Case("E113", "tensor 'w' holds -inf at (2, 1, 0, 2)", with_value(-np.inf)),
    "44 bfloat16 weight": Case("E112", "unsupported type BFLOAT16", of_weight(data_type=TensorProto.BFLOAT16)),
}


def add(*nodes: onnx.NodeProto) -> Change:
    return lambda model: model.graph.node.extend(nodes)


def read(node: int, value: str) -> Change:
    return lambda model: model.graph.node[node].input.__setitem__(0, value)


def output_of_itself(model: onnx.ModelProto) -> None:
    add(make("Identity", ["z"], ["z"]))(model)
    model.graph.output[0].name = "z"


NAMELESS = "has no operator or no output"
GRAPHS = {
    "30 cycle": Case("E114", "a cycle through", read(0, "r")),
    "30 node that reads itself": Case("E114", "a cycle through 'r'", read(1, "r")),
    "30 cycle that nobody needs": Case("E114", "a cycle", add(make("Relu", ["u"], ["v"]), make("Relu", ["v"], ["u"]))),
    "30 output of itself": Case("E114", "a cycle through 'z'", output_of_itself),
    "31 dangling input": Case("E114", "reads 'gone'", read(1, "gone")),
    "32 two producers": Case("E114", "two nodes compute 'r'", add(make("Relu", ["a"], ["r"]))),
    "32 producer of a weight": Case(
        "E114", "a node computes 'w', which is an input or a weight", add(make("Relu", ["a"], ["w"]))
    ),
    "32 producer of the input": Case("E114", "a node computes 'x'", add(make("Relu", ["a"], ["x"]))),
    "33 two initializers": Case(
        "E114",
        "two initializers are named 'w'",
        lambda model: model.graph.initializer.append(model.graph.initializer[0]),
    ),
    "34 node without an output": Case("E114", f"node 3 ('') {NAMELESS}", add(make("Relu", ["a"], []))),
    "34 node with an empty output": Case("E114", NAMELESS, add(make("Relu", ["a"], [""]))),
    "34 node without an operator": Case("E114", NAMELESS, add(make("", ["a"], ["q"]))),
}


def opset(version: int) -> Change:
    return lambda model: model.opset_import[0].__setattr__("version", version)


HEADERS = {
    "35 no graph": Case("E115", "the model has no graph", lambda model: model.ClearField("graph")),
    "35 empty graph": Case("E115", "the model has no graph", lambda model: model.graph.Clear()),
    "35 no output": Case("E115", "no output", lambda model: model.graph.ClearField("output")),
    "35 no opset": Case("E115", "names no opset", lambda model: model.ClearField("opset_import")),
    "35 only another domain": Case(
        "E115", "names no opset", lambda model: model.opset_import[0].__setattr__("domain", "x")
    ),
    "35 opset 999": Case("E115", "opset 999, supported are 7 to", opset(999)),
    "35 opset 1": Case("E115", "opset 1, supported are 7 to", opset(1)),
    "35 opset -1": Case("E115", "opset -1, supported are 7 to", opset(-1)),
    "35 IR version 999": Case("E115", "IR version 999", lambda model: model.__setattr__("ir_version", 999)),
}


# networks that cannot be taken

BRANCH = helper.make_graph([make("Relu", ["a"], ["t"])], "branch", [], [onnx.ValueInfoProto(name="t")])
LOOP = helper.make_graph(
    [make("Identity", ["go"], ["on"])], "body", [onnx.ValueInfoProto(name="go")], [onnx.ValueInfoProto(name="on")]
)


def last(operator: str, *inputs: str, **attributes: object) -> list[onnx.NodeProto]:
    return [make("Relu", ["x"], ["a"]), make(operator, ["a", *inputs], ["y"], name="last", **attributes)]


def functions(levels: int) -> Change:
    """Functions of which each calls the next one twice; the last one calls the first one where there is just one."""

    def change(model: onnx.ModelProto) -> None:
        model.opset_import.add(domain="f", version=1)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]
        for level in range(levels + 1):
            inner = make("Relu", ["X"], ["Y"]) if level == levels else None
            pairs = (("X", "Z"), ("Z", "Y"))
            nodes = [make(f"f{level + 1}", [i], [o], domain="f") for i, o in pairs] if inner is None else [inner]
            model.functions.append(helper.make_function("f", f"f{level}", ["X"], ["Y"], nodes, opsets))
        model.graph.node[1].CopyFrom(make("f0", ["a"], ["r"], domain="f"))

    return change


def recursive(model: onnx.ModelProto) -> None:
    functions(1)(model)
    model.functions[1].node[0].CopyFrom(make("f0", ["X"], ["Y"], domain="f"))


def chain(nodes: int) -> Callable[[bytes], bytes]:
    def content(_: bytes) -> bytes:
        model = onnx.ModelProto(ir_version=8, opset_import=[helper.make_opsetid("", 18)])
        model.graph.input.append(helper.make_tensor_value_info("v0", TensorProto.FLOAT, ["N", 3, 8, 8]))
        model.graph.output.append(helper.make_tensor_value_info(f"v{nodes}", TensorProto.FLOAT, None))
        for index in range(nodes):
            model.graph.node.add(op_type="Relu", input=[f"v{index}"], output=[f"v{index + 1}"])
        return model.SerializeToString()

    return content


OPERATORS = {
    "36 unknown": Case("E120", "operator Frob is not supported", nodes=last("Frob")),
    "36 known, and no rectifier": Case("E120", "operator Tanh is not supported", nodes=last("Tanh")),
    "37 domain": Case("E120", "operator of the domain 'com.acme'", nodes=last("Relu", domain="com.acme")),
    "38 If": Case("E120", "a graph of its own", nodes=last("If", then_branch=BRANCH, else_branch=BRANCH)),
    "38 Loop": Case("E120", "a graph of its own", nodes=last("Loop", body=LOOP)),
    "38 Scan": Case("E120", "a graph of its own", nodes=last("Scan", body=LOOP, num_scan_inputs=1)),
    "39 recursive function": Case("E120", "call each other in a circle", recursive),
    "40 function bomb": Case("E121", "functions inlined, 100663", functions(25)),
    "41 nodes": Case("E121", "nodes, more than 50000", content=chain(MAX_NODES + 1)),
}
TEBI = np.array([1, 3, 2**20, 2**20])
SIZES = {
    "42 ConstantOfShape": Case(
        "E122",
        "is computed, more than",
        nodes=[make("ConstantOfShape", ["n"], ["c"]), make("Add", ["x", "c"], ["y"])],
        weights={"n": TEBI},
    ),
    "42 Expand": Case(
        "E122",
        "is computed, more than",
        nodes=[make("Expand", ["b", "n"], ["c"]), make("Add", ["x", "c"], ["y"])],
        weights={"n": np.array([2**20, 2**20, 4])},
    ),
    "42 Range": Case(
        "E122",
        "is computed, more than",
        nodes=[make("Range", ["zero", "n", "one"], ["c"]), make("Add", ["x", "c"], ["y"])],
        weights={"zero": np.array(0), "n": np.array(2**60), "one": np.array(1)},
    ),
    "42 Pad": Case(
        "E122",
        "make a sample of more than",
        nodes=last("Pad", "n"),
        weights={"n": np.array([0, 0, 0, 0, 0, 0, 2**20, 2**20])},
    ),
    "42 Expand of the sample": Case("E122", "", nodes=last("Expand", "n"), weights={"n": np.array([1, 1, 2**40, 8])}),
    "42 Tile": Case("E122", "", nodes=last("Tile", "n"), weights={"n": TEBI}),
    "42 Resize": Case(
        "E122", "more than", nodes=last("Resize", "", "n"), weights={"n": np.float32([1, 1, 2**20, 2**20])}
    ),
    "43 group 0": Case("E123", "group", nodes=last("Conv", "w", group=0)),
    "43 stride 0": Case("E123", "stride", nodes=last("Conv", "w", strides=[0, 1])),
    "43 dilation 0": Case("E123", "dilation", nodes=last("Conv", "w", dilations=[1, 0])),
    "43 negative pads": Case("E123", "pad", nodes=last("Conv", "w", pads=[-1, 0, 0, 0])),
    "43 pads of 2**30": Case("E123", "pads", nodes=last("Conv", "w", pads=[2**30] * 4)),
    "43 kernel_shape of another size": Case("E123", "kernel", nodes=last("Conv", "w", kernel_shape=[5, 5])),
    "44 weight of another width": Case("E124", "", nodes=last("Conv", "v"), weights={"v": noise(4, 5, 3, 3)}),
    "44 weight of another rank": Case("E123", "", nodes=last("Gemm", "w"), weights={}),
    "44 shapes that do not broadcast": Case("E123", "(3, 5, 5)", nodes=last("Add", "v"), weights={"v": noise(3, 5, 5)}),
}


def set_input(*shape: int | str, kind: int = TensorProto.FLOAT) -> Change:
    return lambda model: model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", kind, shape))


ENDS = {
    "44 int64": Case("E124", "is not float32 but int64", set_input("N", 3, 8, 8, kind=TensorProto.INT64)),
    "44 float64": Case("E124", "is not float32 but double", set_input("N", 3, 8, 8, kind=TensorProto.DOUBLE)),
    "44 bfloat16": Case("E124", "is not float32 but bfloat16", set_input("N", 3, 8, 8, kind=TensorProto.BFLOAT16)),
    "44 two inputs": Case(
        "E124",
        "one input expected, got 2 ('x', 'z')",
        lambda model: model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 7])),
    ),
    "44 two outputs": Case(
        "E124",
        "one output expected, got 2 ('y', 'r')",
        lambda model: model.graph.output.append(onnx.ValueInfoProto(name="r")),
    ),
    "44 no axes": Case("E124", "input 'x' has 0 axes", set_input()),
    "44 convolution of a vector": Case("E123", "a window in 2 dimensions", set_input("N", 192)),
}
CASES = {**FORMATS, **EXTERNAL, **TENSORS, **GRAPHS, **HEADERS, **OPERATORS, **SIZES, **ENDS}
