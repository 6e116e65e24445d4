"""When a run ends: with the last step that there is, or where a sample is decided.

It is decided when its best class leads the second by so much that it need not run on: the error of a rate falls as 1/T,
so that of the sum of outputs over T steps stays about the same, and a lead that is large enough once stays. The
evaluator of every bundle carries this file unchanged, so it needs nothing but numpy and the errors.
"""

import numpy as np

from snnconvert.errors import UsageError


def check_steps(asked: int, made_for: int, onset_delay: int, encoding: str) -> None:
    """Refuse more steps than there are (UsageError E003): a layer's time, or a recording, is over then."""
    if asked <= made_for or not (onset_delay or encoding == "events"):
        return
    why = "an onset delay the network fires" if onset_delay else "input events a recording lasts"
    raise UsageError("E003", f"--steps: {asked} steps, but with {why} for {made_for}", "convert it with these --steps")


def leads(outputs: np.ndarray) -> np.ndarray:
    """Return by how much the largest of outputs ``(N, classes)`` exceeds the second, ``(N,)``; or one logit 0."""
    if outputs.size == len(outputs):
        return np.asarray(np.abs(outputs).reshape(len(outputs)))
    first_two = np.partition(outputs, -2, axis=1)[:, -2:]
    return np.asarray(first_two[:, 1] - first_two[:, 0])


def settled(outputs: np.ndarray, lead: float | None) -> np.ndarray:
    """Tell which samples of summed outputs ``(N, classes)`` are decided; none where ``lead`` is None."""
    return np.zeros(len(outputs), bool) if lead is None else leads(outputs) >= lead
