"""Our counts of a run beside NeuroBench's own: the same network as a snnTorch module, hooked and counted by it."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.networks import BY_NAME, path_of
from benchmarks.report import Section, Skipped, machine
from snnconvert import pipeline
from snnconvert.config import build_job
from snnconvert.conversion import Silent
from snnconvert.data import Preprocessing, batches, open_dataset
from snnconvert.measure.cost import measure_cost
from snnconvert.network import SpikingNetwork
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.simulate import Simulator

SAMPLES, STEPS = 16, 32
MODELS = Path(__file__).parents[1] / "models"
DIGITS = str(MODELS / "digits_test.npz"), "scale=1/16"


def as_snntorch(network: SpikingNetwork, snntorch: Any) -> nn.Module:
    """Return the network as modules that NeuroBench knows, and operators of ours for what has no weights."""

    class IntegrateAndFire(snntorch.SpikingNeuron):  # type: ignore[misc]
        """Fires at the threshold, whatever is left; snnTorch's own waits where more than one threshold is left."""

        def __init__(self) -> None:
            super().__init__(threshold=1.0, init_hidden=True)

        def forward(self, x: Tensor) -> Tensor:
            potential = self.mem + x
            spikes = (potential >= 1).float()
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
                return IntegrateAndFire()
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
    for name, path, data, preprocess in (
        ("digits MLP", MODELS / "digits_mlp.onnx", *DIGITS),
        ("digits ResNet", MODELS / "digits_resnet.onnx", *DIGITS),
        ("ResNet-20", Path(path_of(cifar.name)), cifar.calib, cifar.preprocess),
    ):
        network, x = _converted(path, data, preprocess)
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
        }
        rows += [[name, *row] for row in _compared(network, x, found)]
    verdict = (
        "NeuroBench counts what the network does step by step, as a snnTorch module: connections of convolutions and "
        "fully connected layers alone; the mean of spikes in front of the last layer as activations (MACs); the first "
        "layer, whose input is constant, at every step. Where that makes a difference, it is named and counted."
    )
    header = ["network", "measure", "snnconvert", "NeuroBench", "the difference"]
    return Section(
        "neurobench", "Costs as NeuroBench counts them", header, rows, verdict, machine("neurobench", "snntorch")
    )


def _compared(network: SpikingNetwork, x: Tensor, found: Mapping[str, float]) -> list[list[str]]:
    """Return rows of both counts; what NeuroBench does not see is counted here, and must be all that differs."""
    cost = measure_cost(network, [x])
    ours = cost["synaptic_operations"]
    unseen = _unseen(network, x)
    compared = [("Effective_ACs", ours["Effective_ACs"], unseen, "shortcuts, and spikes through the last mean")]
    compared += [(name, cost[name], 0.0, "") for name in ("membrane_updates", "activation_sparsity")]
    compared += [("connection_sparsity", round(cost["connection_sparsity"], 4), 0.0, "")]
    rows = []
    for name, mine, missing, why in compared:
        explained = abs(mine - found[name] - missing) <= 1e-9 * abs(mine)
        told = "none" if mine == found[name] else f"{mine - found[name]:.8g}: {why if explained else 'UNEXPLAINED'}"
        rows.append([name, f"{mine:.8g}", f"{found[name]:.8g}", told])
    mine, theirs = ours["Effective_MACs"], found["Effective_MACs"]
    more = theirs - STEPS * mine
    told = f"at each of {STEPS} steps" + (f", and {more:.8g} of the last layer's" if more else "")
    rows.append(["Effective_MACs", f"{mine:.8g}", f"{theirs:.8g}", told])
    return rows


def _unseen(network: SpikingNetwork, x: Tensor) -> float:
    """Return the operations a sample of connections that NeuroBench does not see: shortcuts, and behind a mean."""
    (readout,) = Simulator(network, fused=False).run(x, [STEPS])
    graph, found = network.graph, 0.0
    for name in network.neurons:
        seen = torch.zeros(graph.shapes[name], dtype=torch.float64)
        for node in graph.nodes:
            if name in node.inputs and isinstance(node.operator, Convolution | Linear):
                ends = torch.ones(graph.shapes[node.name], dtype=torch.float64)
                seen += node.operator.effective_fan_out(ends, graph.input_shapes(node))
        found += float((readout.counts[name].sum(0).double() * (network.effective_fan_out[name] - seen)).sum())
    return found / len(x)


def _converted(path: Path, data: str, preprocess: str) -> tuple[SpikingNetwork, Tensor]:
    """Convert without corrections; return the network, and samples for it."""
    document = {
        "model": str(path),
        "calib": {"path": data, "samples": 200},
        "preprocess": preprocess,
        "convert": {"steps": [STEPS], "correct": []},
    }
    network = pipeline.convert(build_job(document, path.stem), torch.device("cpu"), Silent()).network
    chosen = batches(
        open_dataset(data), np.arange(SAMPLES), Preprocessing.parse(preprocess), network.graph.input_shape, SAMPLES
    )
    return network, torch.from_numpy(next(chosen)[1])
