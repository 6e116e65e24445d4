"""How many events carry a spike that is more than 0 or 1.

This file is carried by the evaluator of every bundle unchanged, so it imports nothing of ours; arrays of numpy and
tensors of torch are the same to it.
"""

from typing import Any, Literal

Cost = Literal["absolute", "single", "bits"]


def event_count(spikes: Any, cost: Cost, bits: int = 1) -> Any:
    """Return the events that send ``spikes``, of the same shape and type.

    ``absolute``: as many unit events as the spike is large; ``single``: one for any spike that is not 0; ``bits``: one
    for each power of two in it, from 1 down to ``2^-(bits - 1)``.
    """
    size = abs(spikes)
    if cost == "absolute":
        return size
    if cost == "single":
        return 0 * size + (size > 0)
    left = size * 2 ** (bits - 1)
    total = 0 * size
    for _ in range(bits):
        odd = left % 2
        total, left = total + odd, (left - odd) / 2
    return total
