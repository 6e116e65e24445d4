"""A spiking network as one Python module that needs torch, and its weights as safetensors beside it.

The module is written line by line from the network; of the file that it comes from it holds numbers and quoted names.
"""

import hashlib
import importlib.util
import keyword
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snnconvert.errors import InternalError, ModelError, OutputError
from snnconvert.export.session import at_every_step
from snnconvert.export.torch_code import code_of, maximum
from snnconvert.graph import Node
from snnconvert.network import Encoding, SpikingNetwork, Traffic
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.operators.max_pooling import MaxPool

IMPORTED = frozenset({"hashlib", "math", "pathlib", "safetensors", "torch"})  # names that no module may take
WHERE = "export to --to onnx, which holds every network"
MODULE = '''\
"""A spiking network, written by snnconvert. Needs torch and safetensors; the weights lie beside this file.

    from {module} import SpikingNetwork
    output, counts = SpikingNetwork()(x)          # x {samples}, preprocessed; output as the ANN's; counts by layer
"""

import hashlib
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

ABOUT = {about}
WEIGHTS = {digest}  # sha256 of the file
LAYERS = {layers}


class SpikingNetwork(torch.nn.Module):
    """One time step after the other, with the input as {presented}."""

    steps = {steps}
    encoding = {encoding}
    shape = {shape}  # of a sample

    def __init__(self, weights=None):
        super().__init__()
        if weights is None:
            weights = Path(__file__).with_name({weights})
            if hashlib.sha256(weights.read_bytes()).hexdigest() != WEIGHTS:
                raise ValueError(f"{{weights}}: not the weights that this module was written with; export both again")
        for name, tensor in load_file(weights).items():
            self.register_buffer(name, tensor)

    def step(self, x, state, t):
        """Take step t (from 0); return the output of the step. The state is changed, and begins as {{}}."""
{body}
        return {output}

    def fire(self, state, name, current, start, subtract, leak, refractory):
        """Take a step of integrate-and-fire neurons with threshold 1."""
        potential = state.get(name, start) + current - leak
        fires = potential >= 1
        if refractory:
            waiting = state.get(name + ".waiting", torch.zeros_like(potential))
            fires = fires & (waiting <= 0)
            state[name + ".waiting"] = torch.where(fires, refractory, (waiting - 1).clamp(min=0))
        spikes = fires.to(potential.dtype)
        state[name] = potential - spikes if subtract else potential * (1 - spikes)
        state["count." + name] = state.get("count." + name, 0) + spikes
        return spikes

    @torch.no_grad()
    def forward(self, x, steps=steps, state=None):
        """Return the mean of the output over the steps ``(N, ...)``, and the spikes of each layer, summed.

        ``state``, an empty dict, is left with the potentials behind the last step.
        """
        if tuple(x.shape[{ahead}:]) != self.shape or not x.is_floating_point():
            got = f"{{tuple(x.shape)}}, {{x.dtype}}"
            raise ValueError(f"x: expected floats {samples} with samples of {{self.shape}}, got {{got}}")
        state, total = {{}} if state is None else state, 0
        for t in range(steps + {latency}):
            output = self.step({now}, state, t)
            if t >= {latency}:
                total = total + output
        return total / steps, {{LAYERS[name[6:]]: count for name, count in state.items() if name.startswith("count.")}}
'''


INPUTS: Mapping[Encoding, Mapping[str, str]] = {
    "constant": {"samples": "(N, ...)", "ahead": "1", "presented": "a constant current", "now": "x"},
    "events": {
        "samples": "(N, steps, ...)",
        "ahead": "2",
        "presented": "what arrives in each, times T",
        "now": "x[:, t] if t < x.shape[1] else torch.zeros_like(x[:, 0])",
    },
}


def torch_files(
    network: SpikingNetwork, about: Mapping[str, Any], stem: str, encoding: Encoding = "constant"
) -> tuple[bytes, bytes]:
    """Return the text of the module ``stem.py``, and its weights for ``stem.safetensors``; see :func:`is_importable`.

    ``encoding`` is what it takes, whatever the network's own.

    Raises:
        ModelError: the network holds what is not written as torch (E129).
        OutputError: the package safetensors is not installed (E404).
    """
    try:
        from safetensors.torch import save
    except ImportError:
        raise OutputError(
            "E404", "the package safetensors is not installed", "pip install 'snnconvert[safetensors]'"
        ) from None
    written = _Module(network)
    weights = bytes(save(written.tensors))
    text = MODULE.format(
        digest=repr(hashlib.sha256(weights).hexdigest()),
        module=stem,
        about=repr(dict(about)),
        layers=repr(written.layers),
        steps=network.schedule.steps,
        weights=repr(f"{stem}.safetensors"),
        body="\n".join(f"        {line}" for line in written.lines),
        output=written.values[network.graph.output],
        latency=network.latency,
        encoding=repr(encoding),
        shape=repr(tuple(network.graph.input_shape)),
        **INPUTS[encoding],
    )
    return text.encode(), weights


def is_importable(stem: str) -> bool:
    """Tell whether Python imports ``stem.py`` by its name, and all that it imports itself beside it."""
    return stem.isidentifier() and not keyword.iskeyword(stem) and stem not in IMPORTED


class _Module:
    """The lines of a step while they are written."""

    def __init__(self, network: SpikingNetwork) -> None:
        self.network, self.graph = network, network.graph
        self.values = {self.graph.input: "x"}
        self.tensors: dict[str, Tensor] = {}
        self._stateful = {node.name for node in network.stateful}
        self.lines: list[str] = []
        self.layers: dict[str, str] = {}
        if network.schedule.onset_delay or network.schedule.warm_up or network.decodes:
            what = "neurons that decode rates" if network.decodes else "neurons that wait before they fire"
            raise ModelError("E129", f"{self.graph.name}: {what} are not written as torch", WHERE)
        for index, node in enumerate(self.graph.nodes):
            name = f"v{index}"
            self._node(node, name, [self.values[value] for value in node.inputs])
            self.values[node.name] = name

    def _keep(self, name: str, field: str, tensor: Tensor) -> str:
        self.tensors[f"{name}_{field}"] = tensor.detach().clone().contiguous()
        return f"self.{name}_{field}"

    def _node(self, node: Node, name: str, inputs: list[str]) -> None:
        operator = node.operator
        if node.name in self.network.neurons:
            self._neurons(node, name, inputs[0])
        elif isinstance(operator, MaxPool) and node.name in self._stateful:
            self._pool(node, operator, name, inputs[0])
        else:
            shapes = self.graph.input_shapes(node)
            code = code_of(operator, inputs, shapes, lambda field, tensor: self._keep(name, field, tensor))
            if code is None:
                raise ModelError(
                    "E129",
                    f"{self.graph.name}: node '{node.name}' ({type(operator).__name__}) is not written as torch",
                    WHERE,
                )
            self.lines.append(f"{name} = {code}")

    def _neurons(self, node: Node, name: str, current: str) -> None:
        neuron = self.network.neurons[node.name]
        if not isinstance(neuron, IntegrateAndFire):
            raise ModelError("E129", f"{self.graph.name}: neurons '{neuron.name}' are not written as torch", WHERE)
        self.layers[name] = node.name
        rows = self.network.biases.get(node.name)
        if rows is not None:
            table = self._keep(name, "biases", rows)
            current = f"{current} + {table}[min(t, {len(rows) - 1})]"
        shape, own = self.graph.shapes[node.name], self.network.potentials.get(node.name)
        start = torch.full((1,) * len(shape), neuron.initial_potential) if own is None else own
        given = self._keep(name, "potential", start)
        rest = f"{neuron.reset == 'subtract'}, {neuron.leak!r}, {neuron.refractory}"
        self.lines.append(f"{name} = self.fire(state, {name!r}, {current}, {given}, {rest})")

    def _pool(self, node: Node, operator: MaxPool, name: str, x: str) -> None:
        """Write a pool that counts: see the step model for the algebra."""
        if self.network.pools[node.name] == "gate":
            self.lines += [
                f"{name}_seen = state.get({name!r}, 0) + {x}",
                f"state[{name!r}] = {name}_seen",
                f"{name} = torch.fmod({maximum(operator, f'(2 * {name}_seen + {x})')}, 2)",
            ]
        else:
            self.lines += [
                f"{name}_seen = state.get({name!r}, torch.zeros_like({x}))",
                f"state[{name!r}] = {name}_seen + {x}",
                f"{name} = {maximum(operator, f'state[{name!r}]')} - {maximum(operator, f'{name}_seen')}",
            ]
        if self.network.traffic[node.name] is Traffic.SPIKES:  # and no current, which nobody counts
            self.layers[name] = node.name
            self.lines.append(f'state["count.{name}"] = state.get("count.{name}", 0) + {name}')


def run_module(
    text: bytes, weights: bytes, x: Tensor, steps: int
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Present ``x (N, ...)`` at every step to a module that was written here.

    Returns its output, the spikes of each layer, summed, and its state.
    """
    with tempfile.TemporaryDirectory(prefix="snnconvert-") as folder:
        path = Path(folder) / "exported.py"
        path.write_bytes(text)
        spec = importlib.util.spec_from_file_location("snnconvert_exported", path)
        if spec is None or spec.loader is None:
            raise InternalError("E912", "the exported module cannot be loaded")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        beside = path.with_suffix(".safetensors")
        beside.write_bytes(weights)
        state: dict[str, Tensor] = {}
        presented = x if module.SpikingNetwork.encoding == "constant" else at_every_step(x, steps)
        output, counts = module.SpikingNetwork(beside)(presented, steps, state)
    return output, counts, {node: state[name] for name, node in module.LAYERS.items()}
