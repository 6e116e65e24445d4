"""Which neurons take a block of steps in one kernel on a GPU, and whether that works there.

Torch takes a step in six kernels or more, each of which reads and writes all states; in one of our own they stay in
registers for the block. The arithmetic is the neurons' own, operation for operation. It is written in Triton, which
torch brings along on Linux, and which needs a C compiler. Where that is missing, or the kernel counts other spikes than
torch's steps in a trial before the first run, torch's steps are taken: more slowly, with the same spikes.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnconvert.errors import first_line
from snnconvert.neurons import Neuron, make_neuron
from snnconvert.neurons.integrate_and_fire import is_plain
from snnconvert.neurons.multi_spike import Burst, SignedBurst

KINDS = ("cuda",)  # of devices; tests put the CPU in its place, and run the kernel in Triton's interpreter
SHAPES = (5, 7, 37), (4, 16, 24)  # of a trial: Triton compiles anew for sizes that 16 divides
STEPS, SILENT = 6, 2
TRIED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("if", {}),
    ("if", {"reset": "zero"}),
    ("if-multi", {"k": 2}),
    ("if-multi", {"k": None}),
    ("if-signed", {}),
)


class Rule(NamedTuple):
    """What sets a neuron apart.

    ``binary`` spikes are sent at or over 1, others are the whole part of the potential, up to ``most``; ``signed`` ones
    take back what was sent. Behind a spike the potential falls by it, or to zero where it is not ``subtracted``.
    """

    binary: bool
    signed: bool
    subtracted: bool
    most: float


class States(NamedTuple):
    """What a layer keeps, all ``(N, ...)`` in one order of memory; each is changed in place.

    ``sent`` is the sum of spikes as signed neurons know it, and ``events`` where they are others than the spikes.
    """

    potential: Tensor
    counts: Tensor
    sent: Tensor | None
    events: Tensor | None


def rule_of(neuron: Neuron) -> Rule | None:
    """Return what the kernel must know of these neurons, None where it knows none such."""
    if is_plain(neuron):
        return Rule(True, False, neuron.reset == "subtract", 1.0)
    if isinstance(neuron, Burst):
        return Rule(False, isinstance(neuron, SignedBurst), True, float(neuron.k or math.inf))
    return None


def takes(neuron: Neuron, like: Tensor) -> bool:
    """Tell whether a layer of neurons, whose states are like this, takes its steps in the kernel."""
    possible = like.device.type in KINDS and like.dtype == torch.float32 and rule_of(neuron) is not None
    return possible and trouble(like.device) is None


@cache
def trouble(device: torch.device) -> str | None:
    """Try the kernel against torch's steps on a device; return why it is not taken there, None where it is."""
    make = torch.Generator().manual_seed(0)
    try:
        for shape in SHAPES:
            drawn = (torch.randint(-96, 128, (STEPS, *each), generator=make) / 64 for each in (shape, shape[1:]))
            current, bias = (each.to(device) for each in drawn)
            for name, options in TRIED:
                if not _does_the_same(make_neuron(name, options), current, bias):
                    return f"neurons '{name}' send other spikes there than in torch's steps"
    except torch.OutOfMemoryError:
        raise
    except Exception as problem:  # noqa: BLE001 - whatever Triton or the driver lacks: torch's steps need neither
        return f"Triton does not run there ({first_line(problem, 120)})"
    return None


def _does_the_same(neuron: Neuron, current: Tensor, bias: Tensor) -> bool:
    from snnconvert.simulate.kernels import take_steps

    rule, state, spikes = rule_of(neuron), neuron.initial_state(current[0]), torch.empty_like(current)
    counts, events = torch.zeros_like(state[0]), torch.zeros_like(state[0])
    mine = States(state[0].clone(), counts.clone(), counts.clone(), events.clone())
    if rule is None:
        return False
    take_steps(rule, mine, current, bias, spikes, STEPS, SILENT)
    for step in range(STEPS):
        sent = torch.zeros_like(counts)
        if step < SILENT:
            state = neuron.silent(state, current[step])
        else:
            state, sent = neuron.step(state, current[step] + bias[step], step)
        if not torch.equal(sent, spikes[step]):
            return False
        counts, events = counts + sent, events + neuron.events(sent)
    pairs = [(mine.potential, state[0]), (mine.counts, counts), (mine.events, events)]
    pairs += [(mine.sent, state[1])] if rule.signed else []
    return all(torch.equal(found, expected) for found, expected in pairs if found is not None)
