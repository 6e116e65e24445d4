"""torch.export files (.pt2): a graph in JSON and its weights as raw numbers, checked and written again.

torch evaluates sizes, unpickles sample inputs, imports what containers name and compiles value names as code. So what
it gets is built here field by field from what a network needs; fields that only describe where the graph came from are
left out. The graph calls ATen operators that compute, and nothing else.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping

import torch

from snnconvert.errors import ModelError
from snnconvert.load import symbolic
from snnconvert.load.json_fields import Fields, Json
from snnconvert.load.onnx_file import MAX_NODES
from snnconvert.load.torch_operators import is_pure
from snnconvert.operators.onnx_node import MAX_ELEMENTS

MODEL = "models/model.json"
WEIGHTS = "data/weights/"
CONSTANTS = "data/constants/"
ITEM_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 12: 1, 13: 2}  # of torch's numbers for types
STRIDED = 7  # torch's number for a dense tensor
SIZE_OPERATORS = {f"_operator.{name}" for name in ("add", "sub", "mul", "floordiv")}
ASSERTIONS = {
    f"torch.ops.aten.{name}.default"
    for name in ("_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size")
}
_ATEN = re.compile(r"torch\.ops\.aten\.([a-z_]\w*)\.([A-Za-z]\w*)", re.ASCII)
_LEAF: Json = {"type": None, "context": None, "children_spec": []}


def read_program(where: str, members: Mapping[str, bytes]) -> dict[str, bytes]:
    """Check the members of a torch.export archive; return those of one for torch, written from what was checked.

    Raises:
        ModelError: it says more than a network needs (E131), too much of it (E121), or what cannot be converted
            (E120, E124).
    """
    return _Program(where, members).members()


def input_elements(members: Mapping[str, bytes]) -> int:
    """Return how many elements the input has, of what :func:`read_program` returned; sizes left open count as 1."""
    module = json.loads(members[MODEL])["graph_module"]
    users = [spec for spec in module["signature"]["input_specs"] if "user_input" in spec]
    values = [module["graph"]["tensor_values"].get(_input_name(spec)) for spec in users]
    return sum(math.prod(size.get("as_int", 1) for size in value["sizes"]) for value in values if value)


class _Program(Fields):
    def members(self) -> dict[str, bytes]:
        """Build the members of the archive for torch."""
        if MODEL not in self.given:
            self.refuse("it holds no program 'model'", "save it with torch.export.save of a newer torch")
        if self.given.get("byteorder", b"little") != b"little":
            self.refuse("its numbers are big-endian")
        kept = {"archive_format": b"pt2", "archive_version": b"0", ".data/version": b"6", "byteorder": b"little"}
        for folder, config, prefix in ((WEIGHTS, "weights", "weight_"), (CONSTANTS, "constants", "tensor_")):
            kept |= self._payload(folder, f"{folder}model_{config}_config.json", prefix)
        kept[MODEL] = _bytes(self._program(self.json(MODEL)))
        kept["data/sample_inputs/model.pt"] = b""  # a pickle that nobody needs
        return kept

    def _program(self, data: Json) -> Json:
        module = self.get(data, "graph_module", dict)
        signature = self.get(module, "signature", dict)
        outputs = [self._output_spec(each) for each in self.get(signature, "output_specs", list)]
        inputs = [self._input_spec(each) for each in self.get(signature, "input_specs", list)]
        users = [each for each in inputs if "user_input" in each]
        if len(users) != 1:
            raise ModelError(
                "E124", f"{self.where}: one input expected, got {len(users)}", "export the network with one input"
            )
        version = self.get(data, "schema_version", dict)
        return {
            "graph_module": {
                "graph": self._graph(self.get(module, "graph", dict)),
                "signature": {"input_specs": inputs, "output_specs": outputs},
                "module_call_graph": [{"fqn": "", "signature": _call_of(_input_name(users[0]), len(outputs))}],
                "metadata": {},
                "treespec_namedtuple_fields": {},
            },
            "opset_version": {"aten": self.integer(self.get(data, "opset_version", dict).get("aten"))},
            "range_constraints": dict(self._ranges(self.get(data, "range_constraints", dict))),
            "schema_version": {key: self.integer(version.get(key)) for key in ("major", "minor")},
            "verifiers": ["TRAINING"],  # what torch.export itself names
            "torch_version": "",
            "guards_code": [],
        }

    def _ranges(self, data: Json) -> Iterator[tuple[str, Json]]:
        for name, limits in data.items():
            if not symbolic.SYMBOL.fullmatch(name) or not isinstance(limits, dict):
                self.refuse(f"a range of '{name[:40]}'")
            yield (
                name,
                {key: limits.get(key) and self.integer(limits[key]) for key in ("min_val", "max_val")},
            )

    def _input_spec(self, data: Json) -> Json:
        kind, value = self.one(data)
        if kind == "user_input":
            argument, tensor = self.one(self.get(value, "arg", dict))
            if argument == "as_tensor":
                return {kind: {"arg": {argument: {"name": self.name(self.get(tensor, "name", str))}}}}
            raise ModelError("E124", f"{self.where}: an input is not a tensor", "export the network with one input")
        key = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}.get(
            kind
        )
        if key is None:
            self.refuse(f"an input of kind '{kind[:40]}'")
        spec = {
            "arg": {"name": self.name(self.get(self.get(value, "arg", dict), "name", str))},
            key: self.parameter(self.get(value, key, str)),
        }
        if kind == "buffer":
            spec["persistent"] = self.get(value, "persistent", bool)
        return {kind: spec}

    def _output_spec(self, data: Json) -> Json:
        kind, value = self.one(data)
        if kind != "user_output":
            raise ModelError(
                "E120",
                f"{self.where}: the network changes its state ({kind[:40]})",
                "call model.eval() before exporting",
            )
        argument, tensor = self.one(self.get(value, "arg", dict))
        if argument != "as_tensor":
            raise ModelError("E124", f"{self.where}: an output is not a tensor", "export the network with one output")
        return {kind: {"arg": {argument: {"name": self.name(self.get(tensor, "name", str))}}}}

    def _graph(self, data: Json) -> Json:
        nodes = self.get(data, "nodes", list)
        if len(nodes) > MAX_NODES:
            raise ModelError(
                "E121",
                f"{self.where}: {len(nodes)} nodes, more than {MAX_NODES}",
                "export a smaller network, or parts of it",
            )
        values = self.get(data, "tensor_values", dict)
        sizes = self.get(data, "sym_int_values", dict)
        return {
            "inputs": [self._argument(each) for each in self.get(data, "inputs", list)],
            "outputs": [self._argument(each) for each in self.get(data, "outputs", list)],
            "nodes": [self._node(each) for each in nodes if not self._is_assertion(each)],
            "tensor_values": {self.name(name): self._tensor(each) for name, each in values.items()},
            "sym_int_values": {self.name(name): self._size(each) for name, each in sizes.items()},
            "sym_bool_values": {},
        }

    def _is_assertion(self, data: Json) -> bool:
        """Tell whether a node only checks sizes: it computes nothing that another needs."""
        outputs = self.get(data, "outputs", list)
        truths = [each for each in outputs if isinstance(each, dict) and "as_sym_bool" in each]
        return self.get(data, "target", str) in ASSERTIONS or (bool(outputs) and len(truths) == len(outputs))

    def _node(self, data: Json) -> Json:
        target = self.get(data, "target", str)
        if not _is_operator(target) and target not in SIZE_OPERATORS:
            self.refuse(f"the operator '{target[:80]}' is not one that networks need")
        inputs = []
        for each in self.get(data, "inputs", list):
            name, kind = self.get(each, "name", str), each.get("kind")
            argument = self._argument(self.get(each, "arg", dict))
            if name in ("training", "train") and argument == {"as_bool": True}:
                raise ModelError(
                    "E120",
                    f"{self.where}: {target} was exported in training mode",
                    "call model.eval() before exporting",
                )
            inputs.append({"name": name and self.name(name), "arg": argument, "kind": kind and self.integer(kind)})
        return {
            "target": target,
            "inputs": inputs,
            "outputs": [self._argument(each) for each in self.get(data, "outputs", list)],
            "metadata": {},
            "name": None if data.get("name") is None else self.name(data["name"]),
        }

    def _argument(self, data: Json) -> Json:
        kind, value = self.one(data)
        rule = self._rules().get(kind)
        if rule is not None:
            return {kind: rule(value)}
        many = self._rules().get(kind.removesuffix("s"))
        if many is None or not kind.endswith("s") or not isinstance(value, list):
            self.refuse(f"an argument of kind '{kind[:40]}'")
        return {kind: [many(each) for each in value]}

    def _rules(self) -> dict[str, Callable[[Json], Json]]:
        """Return how each kind of argument is copied."""
        return {
            "as_none": bool,
            "as_bool": bool,
            "as_int": self.integer,
            "as_scalar_type": self.integer,
            "as_memory_format": self.integer,
            "as_layout": self.integer,
            "as_float": self.float,
            "as_string": self.text,
            "as_device": lambda _: {"type": "cpu", "index": None},
            "as_tensor": lambda value: {"name": self.name(self.get(value, "name", str))},
            "as_sym_int": self._size_argument,
            "as_optional_tensor": self._optional,
        }

    def _size_argument(self, value: Json) -> Json:
        kind, size = self.one(value)
        return {"as_int": self.integer(size)} if kind == "as_int" else {"as_name": self.name(value.get("as_name"))}

    def _optional(self, value: Json) -> Json:
        kind, tensor = self.one(value)
        return {kind: True} if kind == "as_none" else {"as_tensor": {"name": self.name(self.get(tensor, "name", str))}}

    def _size(self, data: Json) -> Json:
        kind, value = self.one(data)
        if kind == "as_int":
            return {kind: self.integer(value)}
        text = self.get(value, "expr_str", str)
        try:
            formula = symbolic.rewritten(text)
        except ValueError as problem:
            self.refuse(f"the size {text[:40]!r} ({problem})")
        hint = value.get("hint")
        known = None if hint is None else {"as_int": self.integer(self.one(hint)[1])}
        return {"as_expr": {"expr_str": formula, "hint": known}}

    def _tensor(self, data: Json) -> Json:
        """Copy the description of a tensor."""
        kind = self.get(data, "dtype", int)
        if kind not in ITEM_SIZES or data.get("layout") != STRIDED:
            self.refuse(f"a tensor of type {kind} and layout {str(data.get('layout'))[:40]}")
        return {
            "dtype": kind,
            "sizes": [self._size(each) for each in self.get(data, "sizes", list)],
            "requires_grad": self.get(data, "requires_grad", bool),
            "device": {"type": "cpu", "index": None},
            "strides": [self._size(each) for each in self.get(data, "strides", list)],
            "storage_offset": self._size(self.get(data, "storage_offset", dict)),
            "layout": STRIDED,
        }

    def _payload(self, folder: str, member: str, prefix: str) -> dict[str, bytes]:
        """Copy the weights or constants and their index, each compared with what it claims."""
        kept: dict[str, bytes] = {}
        types: dict[str, int] = {}
        config = {}
        for parameter, entry in self.get(self.json(member), "config", dict).items():
            path, label = self.get(entry, "path_name", str), f"'{parameter[:80]}'"
            if self.get(entry, "use_pickle", bool) or not re.fullmatch(prefix + "[0-9]+", path, re.ASCII):
                self.refuse(f"{label} is pickled")
            tensor = self._tensor(self.get(entry, "tensor_meta", dict))
            data = self.given.get(folder + path)
            if (
                data is None
                or not _inside(tensor, len(data))
                or types.setdefault(path, tensor["dtype"]) != tensor["dtype"]
            ):
                self.refuse(f"{label} does not fit its {0 if data is None else len(data)} bytes")
            kept[folder + path] = data
            config[self.parameter(parameter)] = {
                "path_name": path,
                "is_param": self.get(entry, "is_param", bool),
                "use_pickle": False,
                "tensor_meta": tensor,
            }
        kept[member] = _bytes({"config": config})
        return kept


def _is_operator(target: str) -> bool:
    """Tell whether a target is an operator that computes, and not an attribute of one."""
    aten = _ATEN.fullmatch(target)
    if aten is None or not is_pure(aten[1]):
        return False
    return isinstance(getattr(getattr(torch.ops.aten, aten[1], None), aten[2], None), torch._ops.OpOverload)


def _inside(tensor: Json, held: int) -> bool:
    """Tell whether a tensor of fixed shape lies within this many bytes."""
    parts = [*tensor["sizes"], *tensor["strides"], tensor["storage_offset"]]
    if len(tensor["sizes"]) != len(tensor["strides"]) or any(part.get("as_int", -1) < 0 for part in parts):
        return False
    size, stride = ([each["as_int"] for each in tensor[key]] for key in ("sizes", "strides"))
    count, rest = divmod(held, ITEM_SIZES[tensor["dtype"]])
    last = tensor["storage_offset"]["as_int"] + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    small = math.prod(n or 1 for n in size) <= max(count, MAX_ELEMENTS)
    return rest == 0 and small and (0 in size or last < count)


def _input_name(spec: Json) -> str:
    return str(spec["user_input"]["arg"]["as_tensor"]["name"])


def _call_of(name: str, outputs: int) -> Json:
    """Return how the network is called: with one tensor; it returns one, or a tuple."""
    arguments = {"type": "builtins.tuple", "context": "null", "children_spec": [_LEAF]}
    options = {"type": "builtins.dict", "context": "[]", "children_spec": []}
    given = {"type": "builtins.tuple", "context": "null", "children_spec": [arguments, options]}
    several = {"type": "builtins.tuple", "context": "null", "children_spec": [_LEAF] * outputs}
    return {
        "inputs": [],
        "outputs": [],
        "in_spec": json.dumps([1, given]),
        "out_spec": json.dumps([1, _LEAF if outputs == 1 else several]),
        "forward_arg_names": [name],
    }


def _bytes(data: Json) -> bytes:
    return json.dumps(data).encode("ascii")
