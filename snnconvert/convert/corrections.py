"""Corrections on real spikes: what unevenness, rounding and clipping do to the mean of a layer is put right in it.

Layer by layer, each with the spikes that the corrected layers below really send (Li et al. 2021, 2022), so that an
error does not travel on. With a the mean activation of a channel over samples and places, in units of its scale, and r
its mean rate in the steps in which it may fire:

    bias        b_c     += (a_c - mean over t of r_c(t)) / 2      one number a channel
    step-bias   b_c(t)  += (a_c - r_c(t)) / 2                     one a channel and step (Hao et al. 2024, FTBC)
    potential   v0_i    += T (a_i - r_i) / 2                      one a neuron i, without the mean over places
    weights     see refit.py; before the others

each repeated until nothing changes by more than 1e-3, at most 12 times. No labels, no gradients. Of more than 256 steps
the first 256 are fitted, with a warm-up that is as much shorter: what unevenness does is over by then.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from snnconvert.calibrate.collect import channels_last
from snnconvert.convert.refit import refit
from snnconvert.errors import UsageError
from snnconvert.graph import Node, Role
from snnconvert.network import SpikingNetwork, mean_over_time
from snnconvert.registry import did_you_mean
from snnconvert.simulate import LayerRun, Layerwise

Correction = Literal["bias", "step-bias", "potential", "weights"]
CORRECTIONS: tuple[Correction, ...] = ("bias", "step-bias", "potential", "weights")
TURNS, RATE, ENOUGH = 12, 0.5, 1e-3
LONGEST = 256  # steps that corrections are fitted over


def check_corrections(wanted: Sequence[str], decodes: bool) -> None:
    """Refuse corrections that do not exist, contradict each other or do not suit decoded rates (UsageError E003)."""
    unknown = next((each for each in wanted if each not in CORRECTIONS), None)
    if unknown is not None:
        hint = f"{did_you_mean(unknown, [*CORRECTIONS])}; '-' is none"
        raise UsageError("E003", f"--correct: unknown correction '{unknown[:80]}'", hint)
    if {"bias", "step-bias"} <= set(wanted):
        raise UsageError("E003", "--correct: bias and step-bias: one of the two", "step-bias holds what bias does")
    late = {"step-bias", "potential"} & set(wanted)
    if decodes and late:
        raise UsageError("E003", f"--correct: {late.pop()} of a neuron that decodes rates", "--correct bias")


def corrected(
    network: SpikingNetwork,
    x: Tensor,
    axes: Mapping[str, int],
    wanted: Iterable[str],
    advance: Callable[[int], None] = lambda _: None,
) -> SpikingNetwork:
    """Return the network with its corrections, fitted on samples ``x``; ``advance`` hears of each layer done.

    The samples are as the engine takes them, of events in as many steps as ``shortened`` leaves.
    ``axes`` tells the channels of each activation. Shapes and units of what is added: see SpikingNetwork.

    Raises:
        UsageError: see :func:`check_corrections`.
    """
    wanted = tuple(wanted)
    check_corrections(wanted, network.decodes)
    if not wanted:
        return network
    run = Layerwise(shortened(network), x)
    fit = _Fit(run, mean_over_time(x, network.encoding), axes, wanted)

    def visit(layer: LayerRun) -> None:
        fit.layer(layer)
        advance(1)

    run.run(visit)
    if "weights" in wanted:
        refit(run, network.graph.output, fit.activations.output)
    refitted = {name: operator.mapped(lambda tensor: tensor.cpu()) for name, operator in run.operators.items()}
    nodes = [replace(node, operator=refitted.get(node.name, node.operator)) for node in network.graph.nodes]
    graph = network.graph.with_nodes(nodes)
    return replace(network, graph=graph, biases=fit.biases, potentials=fit.potentials)


def shortened(network: SpikingNetwork) -> SpikingNetwork:
    """Return the network with no more steps than corrections are fitted over; layers wait for the same share."""
    schedule, steps = network.schedule, min(network.schedule.steps, LONGEST)
    share = (steps + schedule.readout_from) / schedule.counted
    return replace(network, schedule=replace(schedule, steps=steps, warm_up=schedule.warm_up * share))


@dataclass
class _Activations:
    """What the ANN, in normal form, makes of the samples: means over them, and currents where weights are refitted."""

    means: dict[str, Tensor]
    currents: dict[str, Tensor]
    output: Tensor


def _activations(network: SpikingNetwork, x: Tensor, chunks: Sequence[slice], currents: bool) -> _Activations:
    graph = network.graph.mapped(lambda tensor: channels_last(tensor.to(x.device)))
    wanted = {node.inputs[0] for node in graph.activations} if currents else set()
    means: dict[str, Tensor] = {}
    kept: dict[str, list[Tensor]] = {name: [] for name in wanted}

    def observe(node: Node, value: Tensor) -> None:
        if node.operator.role is Role.ACTIVATION:
            means[node.name] = means.get(node.name, 0.0) + value.double().sum(0) / len(x)
        if node.name in kept:
            kept[node.name].append(value)

    with torch.no_grad():
        outputs = [graph.run(channels_last(x[chunk]), observe) for chunk in chunks]
    return _Activations(means, {name: torch.cat(parts) for name, parts in kept.items() if parts}, torch.cat(outputs))


class _Fit:
    """The corrections of the layers so far."""

    def __init__(self, run: Layerwise, x: Tensor, axes: Mapping[str, int], wanted: Sequence[str]) -> None:
        self.run, self.axes, self.wanted = run, axes, wanted
        self.activations = _activations(run.network, x, run.chunks, "weights" in wanted)
        self.biases: dict[str, Tensor] = {}
        self.potentials: dict[str, Tensor] = {}
        schedule = run.network.schedule
        self._counted = schedule.counted

    def layer(self, layer: LayerRun) -> None:
        """Fit one layer, and set it so."""
        name = layer.node.name
        if "weights" in self.wanted:
            target = self.activations.currents.pop(layer.node.inputs[0], None)
            if target is not None:
                refit(self.run, layer.node.inputs[0], target)
        if layer.firing_steps == 0:  # a warm-up that outlasts T: no bias makes it fire
            return
        if "step-bias" in self.wanted or "bias" in self.wanted:
            layer.bias = self._bias(layer, "step-bias" in self.wanted)
            self.biases[name] = layer.bias
        if "potential" in self.wanted:
            layer.potential = self._potential(layer)
            self.potentials[name] = layer.potential

    def _bias(self, layer: LayerRun, by_step: bool) -> Tensor:
        """Return the bias ``(rows, ...)`` that brings the mean rate of every channel to its mean activation."""
        axis = self.axes[layer.node.name]
        mean = self.activations.means[layer.node.name].cpu().numpy()
        others = tuple(each for each in range(mean.ndim) if each != axis)
        decodes, firing = layer.neuron.decodes, layer.firing_steps
        target = mean.mean(others) * (1.0 if decodes else self._counted / firing)
        form = [1] * mean.ndim
        form[axis] = len(target)
        bias = np.zeros((firing if by_step else 1, len(target)))
        for _ in range(TURNS):
            rates = layer.mean_spikes().double().numpy().mean(tuple(each + 1 for each in others))
            rates = rates[-1:] if decodes else rates if by_step else rates.mean(0, keepdims=True)
            change = RATE * (target - rates)
            bias += change
            layer.bias = torch.from_numpy(bias.reshape(-1, *form)).float()
            if np.abs(change).max() < ENOUGH:
                break
        if by_step:  # of the steps beyond those that it was fitted for
            bias = np.concatenate([bias, bias.mean(0, keepdims=True)])
        return torch.from_numpy(bias.reshape(-1, *form)).float()

    def _potential(self, layer: LayerRun) -> Tensor:
        """Return the initial potential ``(...)`` of every neuron that brings its rate to its mean activation."""
        mean = self.activations.means[layer.node.name].cpu().numpy()
        potential = np.full(mean.shape, layer.neuron.initial_values[0])
        for _ in range(TURNS):
            rates = layer.mean_spikes().double().numpy().sum(0) / self._counted
            change = RATE * self._counted * (mean - rates)
            potential += change
            layer.potential = torch.from_numpy(potential).float()
            if np.abs(change).max() < ENOUGH * self._counted:
                break
        return torch.from_numpy(potential).float()
