"""How many events carry a spike that is more than 0 or 1.

This file is carried by the evaluator of every bundle unchanged, so it imports nothing of ours; arrays of numpy and
tensors of torch are the same to it.
"""

from typing import Any, Literal

Cost = Literal["absolute", "single", "bits", "signed-bits"]


def event_count(spikes: Any, cost: Cost, bits: int = 1) -> Any:
    """Return the events that send ``spikes``, of the same shape and type.

    ``absolute``: as many unit events as the spike is large; ``single``: one for any spike that is not 0; ``bits``: one
    for each power of two in it, from 1 down to ``2^-(bits - 1)``; ``signed-bits``: one for each where powers may also
    be taken away, the fewest that make it (7/8 is 1 - 1/8).
    """
    size = abs(spikes)
    if cost == "absolute":
        return size
    if cost == "single":
        return 0 * size + (size > 0)
    left, total = size, 0 * size
    for place in range(bits):
        power = 2.0**-place
        least = 0.75 * power if cost == "signed-bits" else power  # the nearest power, or the one that fits
        taken = 0 * size + (left >= least)
        left, total = left - taken * power, total + taken
        if cost == "signed-bits":
            given = 0 * size + (left <= -least)
            left, total = left + given * power, total + given
    return total
