"""Where the error of the outputs comes from: which layer, and which of three causes.

Of a layer, with a the activation of the ANN, z the mean current that the neurons really got, r the rate that they sent
(all in units of the scale) and ``limited``, ``rounded`` and ``due`` as in bound.py, the layer's own errors are

    clipping      limited(a) - a            the neurons can send no more
    quantisation  rounded(a) - limited(a)   T steps tell so many values apart
    unevenness    r - due(z)                spikes that came early, late, or were never taken back

What is left of r - a, ``due(z) - rounded(a)``, came from the layers below and counts there. What the causes do to the
outputs is measured by ablation: the ANN with every activation limited, with every one rounded too, and the real network
give relative L2 distances ``c <= q <= e`` to the outputs of the ANN, as a rule in this order, and

    clipping = c,  quantisation = q - c,  unevenness = e - q,  so that their sum is the total e;

a negative one says that the step makes up for the others (a correction, say). A layer's part in a cause is measured by
adding its own error to this one activation of an exact ANN: with D the squared distance that follows,

    share(layer, cause) = max(cause, 0) / sum of max(causes, 0)  *  D(layer, cause) / sum over layers of D(cause),

so that all shares of a table add up to 1, as errors that do not know of each other add up in squares.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from snnconvert.graph import Graph
from snnconvert.measure.bound import Reach, bounded, reaches, values_of
from snnconvert.measure.density import Density
from snnconvert.measure.totals import squared
from snnconvert.network import SpikingNetwork

CAUSES = ("clipping", "quantisation", "unevenness")
SATURATED = 0.05  # of a channel's positive activations over the largest rate


class _Layer:
    """Sums over the samples of one layer."""

    def __init__(self, channels: int, axis: int) -> None:
        self.axis = axis + 1  # of a batch
        self.channels = {name: torch.zeros(channels, dtype=torch.float64) for name in ("sent", "active", "over")}
        self.fired_wrongly = self.silent_wrongly = self.neurons = 0
        self.density = Density()
        self.alone: dict[str, float] = {}  # squared distances of the outputs, by cause and "all"

    def add(self, a: Tensor, due: Tensor, rates: Tensor, reach: Reach) -> None:
        half = 0.5 * reach.unit / reach.counted
        self.density.add(a, rates)
        self.neurons += a.numel()
        self.fired_wrongly += int(((due < half) & (rates >= half)).sum())
        self.silent_wrongly += int(((due >= half) & (rates < half)).sum())
        for name, each in (("sent", rates.abs() >= half), ("active", a > 0), ("over", a > reach.largest * (1 + 1e-5))):
            others = [axis for axis in range(a.ndim) if axis != self.axis]
            self.channels[name] += each.sum(others, dtype=torch.float64).cpu()

    @property
    def told(self) -> dict[str, float | None]:
        """What metrics.json says of its neurons and channels, as fractions."""
        active = self.channels["active"]
        over = (self.channels["over"] > SATURATED * active) & (active > 0)
        return {
            "fired_wrongly": self.fired_wrongly / max(self.neurons, 1),
            "silent_wrongly": self.silent_wrongly / max(self.neurons, 1),
            "dead": float((self.channels["sent"] == 0).double().mean()),
            "saturated": float(over.double().mean()),
            "unused": float((active == 0).double().mean()),
            "correlation": self.density.correlation,
        }


class Diagnosis:
    """Gathers, batch by batch, what a network did in all of its steps.

    ``normal`` is the ANN in normal form, without corrections; ``axes`` tell the channels of each activation. Layers are
    ablated with the first ``ablated`` samples of the first batch, and of more than ``most`` layers those whose own
    errors are largest: 4 evaluations each of what follows them.
    """

    def __init__(
        self,
        network: SpikingNetwork,
        normal: Graph,
        axes: Mapping[str, int],
        ablated: int = 16,
        most: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network
        self.normal = normal.mapped(lambda tensor: tensor.to(device))
        self._graph = network.graph.mapped(lambda tensor: tensor.to(device))
        self.samples = 0
        self.ablated, self.most = ablated, len(network.neurons) if most is None else most
        self._limits = reaches(network)
        self._layers = {name: _Layer(normal.shapes[name][axes[name]], axes[name]) for name in network.neurons}
        self._distance = dict.fromkeys(("limited", "rounded", "real"), 0.0)
        self._norm = 0.0

    @torch.no_grad()
    def add(self, x: Tensor, output: Tensor, rates: Mapping[str, Tensor]) -> None:
        """Take a batch ``(N, ...)``, the network's estimate of the outputs, and the rates of all that sends spikes."""
        values = values_of(self.normal, x)
        expected = values[self.normal.output]
        currents = self._currents(x, rates)
        self._norm += squared(expected)
        answers = {
            "limited": bounded(self.normal, x, self._limits, rounding=False),
            "rounded": bounded(self.normal, x, self._limits),
            "real": output,
        }
        for name, answer in answers.items():
            self._distance[name] += squared(answer - expected)
        first = self.samples == 0
        self.samples += len(x)
        errors: dict[str, dict[str, Tensor]] = {}
        for name, layer in self._layers.items():
            limit, a, sent = self._limits[name], values[name], rates[name].to(x)
            due = limit.due(currents[name], sent, self.network.potentials.get(name))
            layer.add(a, due, sent, limit)
            if first:
                n = self.ablated
                limited, rounded = limit.limited(a[:n]), limit.rounded(a[:n])
                errors[name] = dict(zip(CAUSES, (limited - a[:n], rounded - limited, (sent - due)[:n]), strict=True))
        if errors:
            self._ablate({name: value[: self.ablated] for name, value in values.items()}, errors)

    def _currents(self, x: Tensor, rates: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean current of each layer, biases of corrections among them."""
        values = {self._graph.input: x}
        found: dict[str, Tensor] = {}
        for node in self._graph.nodes:
            if node.name in self._limits:
                found[node.name] = values[node.inputs[0]] + self._bias(node.name, x)
            sends = node.name in rates
            inputs = [] if sends else [values[name] for name in node.inputs]
            values[node.name] = rates[node.name].to(x) if sends else node.operator.evaluate(inputs)
        return found

    def _bias(self, name: str, like: Tensor) -> Tensor:
        rows = self.network.biases.get(name)
        if rows is None:
            return torch.zeros((), device=like.device)
        limit = self._limits[name]
        if limit.neuron.decodes:  # the current of the last step is the mean
            return rows[min(limit.firing, len(rows)) - 1].to(like)
        used = rows[[min(step, len(rows) - 1) for step in range(limit.firing)]].to(like)
        return used.sum(0) / limit.counted

    def _ablate(self, values: Mapping[str, Tensor], errors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Measure what each layer's own errors alone do to the outputs."""

        def relative(name: str) -> float:
            norm = squared(values[name])
            return sum(squared(error) for error in errors[name].values()) / norm if norm else 0.0

        for name in sorted(errors, key=relative, reverse=True)[: self.most]:
            parts = {**errors[name], "all": sum(errors[name].values(), torch.zeros_like(values[name]))}
            for cause, error in parts.items():
                if not bool(error.any()):
                    self._layers[name].alone[cause] = 0.0
                    continue
                changed = downstream(self.normal, values, name, values[name] + error)
                self._layers[name].alone[cause] = squared(changed - values[self.normal.output])
        self._ablated_norm = squared(values[self.normal.output])

    @property
    def densities(self) -> dict[str, Density]:
        """How the rates of each layer lie over its activations."""
        return {name: layer.density for name, layer in self._layers.items()}

    def document(self) -> dict[str, Any]:
        """Return ``samples``, ``t``, ``output_error`` and ``layers`` of metrics.json; fractions, or null.

        ``layers`` have shares of the output error by cause, the relative ``output_error`` that the layer's own errors
        cause alone, shares of neurons (fired or silent wrongly) and channels (dead, saturated, unused: no activation
        in the ANN either), and the correlation of rates and activations.
        """
        c, q, e = (_relative(self._distance[name], self._norm) for name in ("limited", "rounded", "real"))
        parts: dict[str, float | None] = dict.fromkeys(CAUSES)
        if c is not None and q is not None and e is not None:
            parts = dict(zip(CAUSES, (c, q - c, e - q), strict=True))
        positive = {cause: max(parts[cause] or 0.0, 0.0) for cause in CAUSES}
        whole = sum(positive.values())
        sums = {cause: sum(layer.alone.get(cause, 0.0) for layer in self._layers.values()) for cause in CAUSES}
        rows = []
        for name, layer in self._layers.items():
            row: dict[str, Any] = {"name": name}
            for cause in CAUSES:
                told = layer.alone and math.isfinite(sums[cause]) and e is not None
                share = positive[cause] / whole if whole else 0.0
                row[cause] = (share * layer.alone[cause] / sums[cause] if sums[cause] else 0.0) if told else None
            row["output_error"] = _relative(layer.alone["all"], self._ablated_norm) if layer.alone else None
            rows.append(row | layer.told)
        return {
            "samples": self.samples,
            "t": self.network.schedule.steps,
            "output_error": {**parts, "total": e},
            "layers": rows,
        }


def downstream(graph: Graph, values: Mapping[str, Tensor], name: str, value: Tensor) -> Tensor:
    """Return the outputs where one value is another, and all that do not depend on it are as they were."""
    changed = {name: value}
    for node in graph.nodes:
        if any(each in changed for each in node.inputs):
            inputs = [changed[each] if each in changed else values[each] for each in node.inputs]
            changed[node.name] = node.operator.evaluate(inputs)
    return changed.get(graph.output, values[graph.output])


def _relative(distance: float, norm: float) -> float | None:
    error = math.sqrt(distance / norm) if norm and math.isfinite(distance) else math.inf
    return error if math.isfinite(error) else None
