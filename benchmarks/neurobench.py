"""Our counts of a run beside NeuroBench's own: the same network as a snnTorch module, hooked and counted by it."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.networks import BY_NAME, path_of
from benchmarks.report import Section, Skipped, machine
from snnconvert import pipeline
from snnconvert.config import build_job
from snnconvert.data import Preprocessing, batches, open_dataset
from snnconvert.graph import Graph, Node
from snnconvert.measure.cost import measure_cost
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.progress import Silent
from snnconvert.simulate import Simulator

SAMPLES, STEPS = 16, 32
ROUNDED = 1e-4  # of a count, that spikes moved by rounding may make
MODELS = Path(__file__).parents[1] / "models"
DIGITS = str(MODELS / "digits_test.npz"), "scale=1/16"


def as_snntorch(network: SpikingNetwork, snntorch: Any) -> nn.Module:
    """Return the network as modules that NeuroBench knows, and operators of ours for what has no weights."""

    class IntegrateAndFire(snntorch.SpikingNeuron):  # type: ignore[misc]
        """Sends up to ``most`` spikes a step; snnTorch's own waits where more than one threshold is left."""

        def __init__(self, most: float) -> None:
            super().__init__(threshold=1.0, init_hidden=True)
            self._most = most

        def forward(self, x: Tensor) -> Tensor:
            potential = self.mem + x
            spikes = potential.floor().clamp(0, self._most)
            self.mem = potential - spikes
            return spikes

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(self._module(node) for node in network.graph.nodes)

        @staticmethod
        def _module(node: Any) -> nn.Module:
            operator = node.operator
            if node.name in network.neurons:
                return IntegrateAndFire(network.neurons[node.name].most)
            if isinstance(operator, Linear):
                made: Any = nn.Linear(*reversed(operator.weight.shape), operator.bias is not None)
            elif isinstance(operator, Convolution):
                window, (outputs, inputs, *_) = operator.window, operator.weight.shape
                made = nn.Conv2d(
                    inputs * operator.groups,
                    outputs,
                    window.kernel,  # type: ignore[arg-type]
                    window.stride,  # type: ignore[arg-type]
                    window.before,  # type: ignore[arg-type]
                    window.dilation,  # type: ignore[arg-type]
                    operator.groups,
                    operator.bias is not None,
                )
            else:
                return Ours(operator)
            made.weight.data = operator.weight
            if operator.bias is not None:
                made.bias.data = operator.bias
            return made

        def reset(self) -> None:
            for node, layer in zip(network.graph.nodes, self.layers, strict=True):
                if node.name in network.neurons:
                    start = network.neurons[node.name].initial_values[0]
                    layer.mem = torch.full((SAMPLES, *network.graph.shapes[node.name]), start)

        def forward(self, x: Tensor) -> tuple[Tensor, None]:
            values = {network.graph.input: x}
            for node, layer in zip(network.graph.nodes, self.layers, strict=True):
                values[node.name] = layer(*[values[value] for value in node.inputs])
            return values[network.graph.output], None

    return Net()


class Ours(nn.Module):
    """An operator without weights that NeuroBench counts."""

    def __init__(self, operator: Any) -> None:
        super().__init__()
        self._operator = operator

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._operator.evaluate(inputs)


@torch.no_grad()
def run() -> Section:
    """T = 32 and 16 images of each; percentile 99.9 per channel, without corrections."""
    try:
        snntorch = importlib.import_module("snntorch")
        models = importlib.import_module("neurobench.models")
        metrics = importlib.import_module("neurobench.metrics.workload")
        static = importlib.import_module("neurobench.metrics.static")
    except ImportError as problem:
        raise Skipped(f"{problem}; benchmarks/README.md tells how to install it") from None
    cifar = BY_NAME["cifar10_akamaster_resnet20"]
    rows = []
    for name, path, data, preprocess, options in (
        ("digits MLP", MODELS / "digits_mlp.onnx", *DIGITS, {}),
        ("digits CNN, average pools", MODELS / "digits_cnn.onnx", *DIGITS, {"max_pool": "average"}),
        ("digits ResNet", MODELS / "digits_resnet.onnx", *DIGITS, {}),
        ("digits ResNet, graded", MODELS / "digits_resnet.onnx", *DIGITS, {"neuron": "if-multi"}),
        ("ResNet-20", Path(path_of(cifar.name)), cifar.calib, cifar.preprocess, {}),
    ):
        network, x = _converted(path, data, preprocess, options)
        model = models.SNNTorchModel(as_snntorch(network, snntorch))
        model.register_hooks()
        counted = [metrics.SynapticOperations(), metrics.MembraneUpdates()]
        outputs = model(x[:, None].expand(-1, STEPS, *x.shape[1:]))
        theirs: Mapping[str, float] = counted[0](model, outputs, (x, None))
        found = {
            **theirs,
            "membrane_updates": counted[1](model, outputs, (x, None)),
            "activation_sparsity": metrics.ActivationSparsity()(model, outputs, (x, None)),
            "connection_sparsity": static.ConnectionSparsity()(model),
            "footprint": static.Footprint()(model),
            "buffers": sum(each.numel() * each.element_size() for each in model.net.buffers()),
        }
        rows += [[name, *row] for row in _compared(network, x, found)]
    unexplained = sum("UNEXPLAINED" in row[-1] for row in rows)
    verdict = (
        "NeuroBench counts what the network does step by step, as a snnTorch module. Differences: it has the first "
        "layer, whose input is constant, at every step; it sees no shortcuts, and values behind average pools and "
        "means as activations, not as spikes on their way through them; its footprint holds the buffers of snnTorch's "
        "neurons, and no scales of shortcuts. What it should count by its definitions is computed apart, from the "
        "spikes of each step. Rounding of the first layer may move a spike, where torch adds in another order: at most "
        f"{ROUNDED:.0e} is passed as that. **{unexplained} of {len(rows)} rows are left unexplained**."
    )
    header = ["network", "measure", "snnconvert", "NeuroBench", "the difference"]
    return Section(
        "neurobench", "Costs as NeuroBench counts them", header, rows, verdict, machine("neurobench", "snntorch")
    )


@dataclass
class Seen:
    """What NeuroBench should count of a sample behind the first layer, by its definitions, from the spikes."""

    spikes: float = 0.0  # operations of layers that read spikes themselves
    pooled: float = 0.0  # operations of layers that read what pools and means make of spikes
    dense: float = 0.0  # of all of these layers, T times

    @classmethod
    def of(cls, network: SpikingNetwork, x: Tensor) -> "Seen":
        """Run the network step by step, and look at what each weighted layer reads."""
        graph, found = network.graph, cls()
        layers = [
            (node, node.operator.effective_fan_out(_ones(graph, node), graph.input_shapes(node)))
            for node in graph.nodes
            if isinstance(node.operator, Convolution | Linear)
            and network.traffic[node.inputs[0]] is not Traffic.CONSTANT
        ]
        for node, _ in layers:
            found.dense += STEPS * float(node.operator.fan_out(_ones(graph, node), graph.input_shapes(node)).sum())
        before = {name: torch.zeros(len(x), *graph.shapes[name]) for name in network.neurons}
        for readout in Simulator(network, fused=False, block=1).run(x, range(1, STEPS + 1)):
            values = {name: readout.counts[name] - count for name, count in before.items()}
            before = {name: readout.counts[name].clone() for name in before}
            for node in graph.nodes:
                if node.name not in values and all(value in values for value in node.inputs):
                    values[node.name] = node.operator.evaluate([values[value] for value in node.inputs])
            for node, fan_out in layers:
                value = values[node.inputs[0]]
                done = float(((value != 0) * fan_out).sum()) / len(x)
                if network.traffic[node.inputs[0]] is Traffic.SPIKES:
                    found.spikes += done
                else:
                    found.pooled += done
        return found


def _ones(graph: Graph, node: Node) -> Tensor:
    return torch.ones(graph.shapes[node.name], dtype=torch.float64)


def _compared(network: SpikingNetwork, x: Tensor, found: Mapping[str, float]) -> list[list[str]]:
    """Return rows of both counts, and what makes them differ."""
    cost, seen = measure_cost(network, [x]), Seen.of(network, x)
    ours = cost["synaptic_operations"]
    once = float(((x != 0) * network.effective_fan_out[network.graph.input]).sum()) / len(x)
    every = float(network.fan_out[network.graph.input].sum())
    graded = ours["Effective_MACs"] > once
    unseen = ours["Effective_ACs"] + ours["Effective_MACs"] - once - seen.spikes  # shortcuts, and through pools
    shortcuts = cost["footprint"] - (found["footprint"] - found["buffers"])
    again, through = f"first layer {STEPS} times", "of shortcuts and through pools"
    reasons: dict[str, list[tuple[float, str]]] = {
        "Effective_ACs": [] if graded else [(unseen, through)],
        "Effective_MACs": [
            (-(STEPS - 1) * once, again),
            (-seen.pooled, "behind pools"),
            *([(unseen, through)] if graded else []),
        ],
        "Dense": [
            (-(STEPS - 1) * every, again),
            (ours["Dense"] - every - seen.dense, "of shortcuts and pools"),
        ],
        "membrane_updates": [],
        "activation_sparsity": [],
        "connection_sparsity": [],
        "footprint": [(shortcuts, "scales of shortcuts"), (-found["buffers"], "buffers")],
    }
    mine = {**ours, **{name: cost[name] for name in reasons if name in cost}}
    mine["connection_sparsity"] = round(mine["connection_sparsity"], 4)  # as theirs is
    rows = []
    for name, parts in reasons.items():
        left = abs(mine[name] - found[name] - sum(each for each, _ in parts))
        explained = left <= ROUNDED * abs(mine[name])
        told = "; ".join(f"{each:+.8g} {why}" for each, why in parts if each) or "none"
        told += "" if left <= 1e-9 * abs(mine[name]) else f"; {left / abs(mine[name]):.0e} of it rounding"
        rows.append([name, f"{mine[name]:.8g}", f"{found[name]:.8g}", told if explained else f"UNEXPLAINED {told}"])
    return rows


def _converted(path: Path, data: str, preprocess: str, options: Mapping[str, Any]) -> tuple[SpikingNetwork, Tensor]:
    """Convert without corrections; return the network, and samples for it."""
    document = {
        "model": str(path),
        "calib": {"path": data, "samples": 200},
        "preprocess": preprocess,
        "convert": {"steps": [STEPS], "correct": [], **options},
    }
    network = pipeline.convert(build_job(document, path.stem), torch.device("cpu"), Silent()).network
    chosen = batches(
        open_dataset(data), np.arange(SAMPLES), Preprocessing.parse(preprocess), network.graph.input_shape, SAMPLES
    )
    return network, torch.from_numpy(next(chosen)[1])
