"""What a network says: its outputs, summed over the steps of the readout.

What lies behind the last neurons is affine, f(x) = L x + b, in most networks. Then the sum over t steps is
``L (sum of x) + t b = f(sum of x) + (t - 1) f(0)``, and is computed from the counts of spikes where it is asked for.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from snnconvert.graph import Role
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.simulate.blocks import Blocks, Plan
from snnconvert.simulate.evaluations import Evaluation
from snnconvert.simulate.layers import ordered


def linear_tail(network: SpikingNetwork) -> set[str] | None:
    """Return the values behind all that keeps a state; None where the outputs of steps cannot be summed up so."""
    if network.decodes:
        return None
    if network.bins is not None and network.input_is_read:  # no layer counts what arrived
        return None
    stateful = {node.name for node in network.stateful}
    tail: set[str] = set()
    wanted = {network.graph.output}
    for node in reversed(network.graph.nodes):
        if node.name in wanted - stateful and network.traffic[node.name] is not Traffic.CONSTANT:
            if node.operator.role is Role.MAXIMUM and network.pools.get(node.name) != "average":
                return None
            wanted.update(node.inputs)
            tail.add(node.name)
    return tail


def ahead_of_neurons(network: SpikingNetwork) -> set[str]:
    """Return what keeps a state, and the values that it is made from."""
    stateful = {node.name for node in network.stateful}
    needed: set[str] = set()
    for node in reversed(network.graph.nodes):
        if node.name in needed or node.name in stateful:
            needed.update((node.name, *node.inputs))
    return needed


class LinearReadout:
    """Outputs from the counts of spikes."""

    def __init__(self, tail: Sequence[Evaluation], output: str, blocks: Blocks) -> None:
        self._tail, self._output, self._blocks = tail, output, blocks
        self._read = {value for node in tail for value in node.inputs}
        self._before: dict[str, Tensor] = {}  # the readout

    def begin(self) -> None:
        """Read from here on."""
        self._before = {name: layer.count.clone() for name, layer in self._blocks.layers.items()}

    def keep(self, samples: Tensor) -> None:
        """Go on with these samples only."""
        self._before = {name: ordered(count[samples]) for name, count in self._before.items()}

    def add(self) -> None:
        """Take in a block; the layers have counted it."""

    def read(self, steps: int) -> Tensor:
        """Return the sum of the outputs of so many steps, ``(N, ...)``."""
        sums = {name: steps * value for name, value in self._blocks.constants.items() if name in self._read}
        for name, layer in self._blocks.layers.items():
            sums[name] = layer.count - self._before[name] if name in self._before else layer.count
        silent = {name: torch.zeros_like(value[:1]) for name, value in sums.items()}
        for node in self._tail:
            for values in (sums, silent):
                values[node.name] = node.evaluate([ordered(values[value]) for value in node.inputs])
        return sums[self._output] + (steps - 1) * silent[self._output]


class SteppedReadout:
    """Outputs added up step by step; of decoded rates, those of the last step."""

    def __init__(self, plan: Plan, blocks: Blocks) -> None:
        self._plan, self._blocks = plan, blocks
        self._total = torch.zeros((), device=plan.device)

    def begin(self) -> None:
        """Read from here on."""

    def keep(self, samples: Tensor) -> None:
        """Go on with these samples only."""
        self._total = self._total[samples] if self._total.ndim else self._total

    def add(self) -> None:
        """Take in a block."""
        output, plan = self._blocks.output, self._plan
        if output is None:
            return
        by_step = output.block.view(output.last - output.first, self._blocks.samples, *output.block.shape[1:])
        if plan.network.decodes:
            self._total = by_step[-1]
            return
        if plan.rest:
            by_step = by_step - plan.rest[plan.graph.output]  # the biases of t steps are added where it is asked for
        for step in by_step:  # one by one: the sum does not depend on the blocks
            self._total = self._total + step

    def read(self, steps: int) -> Tensor:
        """Return the sum of the outputs of so many steps, ``(N, ...)``."""
        return self._total + steps * self._plan.rest[self._plan.graph.output] if self._plan.rest else self._total
