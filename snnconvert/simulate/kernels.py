"""The kernel of on_gpu.py: integrate-and-fire over a block of time steps, in Triton's language.

Imported where there is a GPU only; on a CPU it runs in Triton's interpreter (TRITON_INTERPRET=1), as tests do.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from snnconvert.simulate.on_gpu import Rule, States

WIDTH = 512  # neurons of a program


@triton.jit
def _at_least(x, least):  # type: ignore[no-untyped-def]
    return tl.maximum(x, least, propagate_nan=tl.PropagateNan.ALL)  # as torch does: it is refused later on


@triton.jit
def _at_most(x, most):  # type: ignore[no-untyped-def]
    return tl.minimum(x, most, propagate_nan=tl.PropagateNan.ALL)


@triton.jit(do_not_specialize=["steps", "silent"])  # type: ignore[untyped-decorator]
def _take_steps(  # type: ignore[no-untyped-def]
    current_at,
    bias_at,
    spikes_at,
    potential_at,
    count_at,
    sent_at,
    events_at,
    size,
    a_sample,
    steps,
    silent,
    stride,
    next_row,
    most,
    biased: tl.constexpr,
    binary: tl.constexpr,
    signed: tl.constexpr,
    subtracted: tl.constexpr,
    counted: tl.constexpr,
    width: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64) * width + tl.arange(0, width)
    inside = at < size
    place = at % a_sample
    v = tl.load(potential_at + at, mask=inside, other=0.0)
    count = tl.load(count_at + at, mask=inside, other=0.0)
    nothing = tl.zeros([width], dtype=tl.float32)
    sent = nothing
    events = nothing
    if signed:
        sent = tl.load(sent_at + at, mask=inside, other=0.0)
    if counted:
        events = tl.load(events_at + at, mask=inside, other=0.0)
    current_at += at
    spikes_at += at
    for step in range(silent):
        v += tl.load(current_at + tl.cast(step, tl.int64) * stride, mask=inside, other=0.0)
        tl.store(spikes_at + tl.cast(step, tl.int64) * size, nothing, mask=inside)
    for step in range(silent, steps):
        z = tl.load(current_at + tl.cast(step, tl.int64) * stride, mask=inside, other=0.0)
        if biased:
            z += tl.load(bias_at + tl.cast(step, tl.int64) * next_row + place, mask=inside, other=0.0)
        v += z
        if binary:
            spikes = tl.where(v >= 1.0, 1.0, 0.0)
        elif signed:
            spikes = _at_least(_at_most(_at_least(tl.floor(v), -most), most), 0.0 - sent)
            sent += spikes
        else:
            spikes = _at_most(_at_least(tl.floor(v), 0.0), most)
        if subtracted:
            v -= spikes
        else:
            v *= 1.0 - spikes
        count += spikes
        if counted:
            events += tl.abs(spikes)
        tl.store(spikes_at + tl.cast(step, tl.int64) * size, spikes, mask=inside)
    tl.store(potential_at + at, v, mask=inside)
    tl.store(count_at + at, count, mask=inside)
    if signed:
        tl.store(sent_at + at, sent, mask=inside)
    if counted:
        tl.store(events_at + at, events, mask=inside)


def take_steps(
    rule: Rule, states: States, current: Tensor, bias: Tensor | None, spikes: Tensor, steps: int, silent: int
) -> None:
    """Take a block of steps, and fill ``spikes (steps * N, ...)``; the first ``silent`` ones without bias or spike.

    ``current`` is ``(steps * N, ...)``, or ``(N, ...)`` where it is the same at every step; ``bias`` is, of a sample,
    ``(steps, ...)`` or ``(1, ...)``. All are float32, in the order of memory of the states.
    """
    size, a_sample = states.potential.numel(), states.potential[0].numel()
    unused = states.potential
    with torch.cuda.device_of(unused):  # type: ignore[no-untyped-call]  # Triton launches on the current one
        _take_steps[(triton.cdiv(size, WIDTH),)](
            current,
            unused if bias is None else bias,
            spikes,
            states.potential,
            states.counts,
            unused if states.sent is None else states.sent,
            unused if states.events is None else states.events,
            size,
            a_sample,
            steps,
            silent,
            size if current.numel() > size else 0,
            0 if bias is None or len(bias) == 1 else a_sample,
            rule.most,
            biased=bias is not None,
            binary=rule.binary,
            signed=rule.signed,
            subtracted=rule.subtracted,
            counted=states.events is not None,
            width=WIDTH,
            enable_fp_fusion=False,  # a product and a sum that are rounded once would differ from torch's
        )
