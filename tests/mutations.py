"""Sound models, and random changes to them: what comes out may be anything, and must be survived."""

import contextlib
from collections.abc import Callable, Iterator
from random import Random

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto, helper, numpy_helper

make = helper.make_node
SIZES = (0, -1, 1, 2, 3, 5, 2**31 - 1, 2**31, 2**40, 2**63 - 1, -(2**63))
WORDS = ("", "x", "y", "w", "a", "r", "p", "axes", "value", "pads", "mode", "\x1b[0m", "n\n", "Add", "Relu", "Identity")
WORDS += ("f", "block", "outer", "W", "location", "../w", "/dev/zero", "-1", "9" * 30)
OTHERS = ("Relu", "Mul", "Add", "Sub", "Div", "Concat", "Pad", "Slice", "Squeeze", "Unsqueeze", "Expand", "Gather")
OTHERS += ("Transpose", "Shape", "ConstantOfShape", "Range", "Cast", "Clip", "Constant", "Sum", "MatMul", "Softmax")
OTHERS += ("block", "outer", "If", "Split", "Resize", "ConvTranspose")
DATA = "net.data"  # the file beside the model that holds a weight of ``external()``


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def sound() -> onnx.ModelProto:
    """Return a network of many operators, with shape arithmetic."""
    nodes = [
        make("Conv", ["x", "w", "b"], ["a"], pads=[1, 1, 1, 1], kernel_shape=[3, 3], strides=[1, 1], group=1),
        make("BatchNormalization", ["a", "g", "b", "m", "v"], ["n"], epsilon=1e-3),
        make("Clip", ["n", "low", "high"], ["r"]),
        make("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        make("Slice", ["p", "zero", "four", "one", "one"], ["s"]),
        make("Pad", ["s", "pads"], ["q"]),
        make("Add", ["q", "p"], ["t"]),
        make("AveragePool", ["t"], ["u"], kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
        make("Shape", ["u"], ["shape"]),
        make("Constant", [], ["index"], value=numpy_helper.from_array(np.array([0]))),
        make("Gather", ["shape", "index"], ["batch"]),
        make("Concat", ["batch", "rest"], ["target"], axis=0),
        make("Reshape", ["u", "target"], ["f"]),
        make("Gemm", ["f", "k", "c"], ["z"], transB=1, alpha=0.5),
        make("Softmax", ["z"], ["y"], axis=1),
    ]
    weights = {
        "w": noise(4, 2, 3, 3),
        **{name: np.abs(noise(4)) + 0.1 for name in "bgmv"},
        "low": np.float32(0),
        "high": np.float32(6),
        "zero": np.array([0]),
        "four": np.array([4]),
        "one": np.array([1]),
        "pads": np.array([0, 0, 0, 0, 0, 0, 0, 0]),
        "rest": np.array([-1]),
        "k": noise(5, 36),
        "c": noise(5),
    }
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def with_functions() -> onnx.ModelProto:
    """Return the same network, of which a part is computed by functions within functions."""
    model = sound()
    model.opset_import.add(domain="f", version=1)
    opsets = list(model.opset_import)
    clip = make("Clip", ["N", "L", "H"], ["Y"])
    norm = make("BatchNormalization", ["X", "g", "b", "m", "v"], ["n"])
    norm.attribute.add(name="epsilon", type=onnx.AttributeProto.FLOAT, ref_attr_name="eps")
    inner = ["X", "g", "b", "m", "v"]
    block = helper.make_function("f", "block", inner, ["n"], [norm], opsets, attributes=["eps"])
    call = make("block", inner, ["N"], domain="f", eps=1e-3)
    outer = helper.make_function("f", "outer", [*inner, "L", "H"], ["Y"], [call, clip], opsets)
    model.functions.extend([outer, block])
    nodes = list(model.graph.node)
    nodes[1:3] = [make("outer", ["a", "g", "b", "m", "v", "low", "high"], ["r"], domain="f")]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    return model


def external() -> onnx.ModelProto:
    """Return the same network, of which a weight lies beside it in the file ``DATA``."""
    model = sound()
    tensor = model.graph.initializer[0]
    for key, value in {"location": DATA, "offset": "16", "length": str(len(tensor.raw_data))}.items():
        tensor.external_data.add(key=key, value=value)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    return model


def external_data() -> bytes:
    """Return what lies beside the network of ``external()``."""
    return bytes(16) + bytes(sound().graph.initializer[0].raw_data) + bytes(16)


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "operators": sound,
    "functions": with_functions,
    "external data": external,
}


def mutated_onnx(content: bytes, random: Random) -> bytes:
    """Return a model that was changed one to three times: in its bytes, or in what they mean."""
    for _ in range(random.randint(1, 3)):
        if random.random() < 0.2:  # seldom, since hardly any of them leave a model
            content = random.choice([*BYTES.values()])(content, random)
            continue
        model = onnx.ModelProto()
        with contextlib.suppress(DecodeError, UnicodeError):  # bytes that were changed before mean nothing any more
            model.ParseFromString(content)
            random.choice([*FIELDS.values()])(model, random)
            content = model.SerializeToString()
    return content


def flipped(content: bytes, random: Random) -> bytes:
    """Flip a few bits."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 8) if changed else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncated(content: bytes, random: Random) -> bytes:
    """Cut off the end."""
    return content[: random.randint(0, len(content))]


def spliced(content: bytes, random: Random) -> bytes:
    """Replace a piece by other bytes."""
    start = random.randint(0, len(content))
    between = bytes(random.randrange(256) for _ in range(random.randint(0, 20)))
    return content[:start] + between + content[start + random.randint(0, 200) :]


def messages(message: Message) -> Iterator[Message]:
    """Yield a message and all within it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if hasattr(value, "append") else [value]:
                yield from messages(each)


def disturb(model: onnx.ModelProto, random: Random) -> None:
    """Delete, double or change one field of one message."""
    message = random.choice(list(messages(model)))
    fields = [field for field, _ in message.ListFields()]
    if not fields:
        return
    field = random.choice(fields)
    value = getattr(message, field.name)
    repeated = hasattr(value, "append")
    what = random.choice(["clear", "change", "drop", "double"])
    if what == "clear" or (field.message_type is not None and not repeated):
        message.ClearField(field.name)
    elif not repeated:
        with contextlib.suppress(ValueError):  # numbers that no enumeration has
            setattr(message, field.name, replacement(field.name, value, random))
    else:
        index = random.randrange(len(value))
        if what == "drop":
            del value[index]
        elif what == "double":
            value.append(value[index])
        elif field.message_type is None:
            value[index] = replacement(field.name, value[index], random)


def replacement(name: str, value: object, random: Random) -> object:
    """Return another value of the same type."""
    if name == "op_type":
        return random.choice(OTHERS)
    if isinstance(value, str):
        return random.choice(WORDS)
    if isinstance(value, bytes):
        return random.choice([b"", value[:-1], value + b"\0", value[: len(value) // 2], b"\xff" * len(value)])
    if isinstance(value, float):
        return random.choice([0.0, -1.0, 1e-42, 3e38, float("inf"), float("nan"), random.gauss(0, 1)])
    limit = 2**31 if name in ("data_type", "type", "elem_type", "data_location") else 2**63
    return random.choice([size for size in (*SIZES, *range(17)) if -limit <= size < limit])


def resize(model: onnx.ModelProto, random: Random) -> None:
    """Replace sizes, wherever they stand: dimensions, attributes, and the integers that shapes are computed from."""
    place = random.choice(["dims", "content", "attribute", "input"])
    tensors = list(model.graph.initializer)
    integers = [each for each in tensors if each.data_type == TensorProto.INT64]
    attributes = [each for node in model.graph.node for each in node.attribute]
    dims = [dim for value in model.graph.input for dim in value.type.tensor_type.shape.dim]
    if place == "input" and dims:
        random.choice(dims).dim_value = random.choice(SIZES)
    elif place == "attribute" and attributes:
        attribute = random.choice(attributes)
        attribute.i = random.choice(SIZES)
        attribute.ints[:] = [random.choice(SIZES) for _ in attribute.ints]
    elif place == "dims" and tensors:
        tensor = random.choice(tensors)
        tensor.dims[:] = [random.choice(SIZES) for _ in tensor.dims]
    elif integers:
        tensor = random.choice(integers)
        tensor.raw_data = np.array([random.choice(SIZES) for _ in range(len(tensor.raw_data) // 8)], "i8").tobytes()


def double_node(model: onnx.ModelProto, random: Random) -> None:
    """Put a node in a second time, with the same outputs or with others."""
    if model.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(random.choice(model.graph.node))
        if random.random() < 0.5:
            node.output[:] = [f"{name}2" for name in node.output]
        model.graph.node.insert(random.randint(0, len(model.graph.node)), node)


def rename_input(model: onnx.ModelProto, random: Random) -> None:
    """Let a node, or the whole network, read something else."""
    nodes = [node for node in model.graph.node if node.input]
    names = [*WORDS, *(name for node in model.graph.node for name in (*node.input, *node.output))]
    if model.graph.input and (not nodes or random.random() < 0.2):
        random.choice(model.graph.input).name = random.choice(names)
    elif nodes:
        node = random.choice(nodes)
        node.input[random.randrange(len(node.input))] = random.choice(names)


BYTES = {"flipped": flipped, "truncated": truncated, "spliced": spliced}
FIELDS = {"disturb": disturb, "resize": resize, "double node": double_node, "rename input": rename_input}
