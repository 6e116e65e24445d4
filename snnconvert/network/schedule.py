"""When the layers of a network may fire.

Under an onset delay d the neurons of depth l (the first is 0) gather current from step 0 and may fire in the steps
``[d l, d l + T)``: they wait until their input has arrived, and the network takes ``d (L - 1)`` steps more. With d = T
one layer runs after the other. Under a warm-up w they keep silent for their first ``floor(w l)`` steps and may fire
from then on: they wait as well, but within T, and no step is added.
"""

from dataclasses import dataclass

from snnconvert.errors import UsageError


@dataclass(frozen=True)
class Schedule:
    """``steps`` T that the network is made for; the readout leaves out its first ``readout_from`` steps."""

    steps: int
    onset_delay: int = 0
    warm_up: float = 0.0
    readout_from: int = 0

    def __post_init__(self) -> None:
        if self.onset_delay and (self.warm_up or self.readout_from):
            other = "--warm-up" if self.warm_up else "--readout-from"
            raise UsageError(
                "E003", f"--onset-delay and {other}: one of the two", "both let layers wait for their input"
            )

    def document(self, depth: int) -> dict[str, float]:
        """Return what metrics.json says of it, for a readout behind neurons of a depth."""
        told = {"T": self.steps, "onset_delay": self.onset_delay, "latency": self.latency(depth)}
        extra = {"warm_up": self.warm_up, "readout_from": self.readout_from}
        return told | {name: value for name, value in extra.items() if value}

    @property
    def counted(self) -> int:
        """The steps that a rate is taken over: those of the readout, and those that it leaves out."""
        return self.steps + self.readout_from

    def start(self, depth: int) -> int:
        """Return the first step in which neurons of a depth may fire."""
        return self.onset_delay * depth if self.onset_delay else int(self.warm_up * depth)

    def stop(self, depth: int) -> int | None:
        """Return the step from which on they may not fire any more; None where they always may."""
        return self.start(depth) + self.steps if self.onset_delay else None

    def bias_start(self, depth: int) -> int:
        """Return the first step in which the biases of a depth flow, T of them: when its first input may arrive."""
        return max(self.start(depth) - self.onset_delay, 0)

    def firing_steps(self, depth: int) -> int:
        """Return in how many of the steps that count neurons of a depth may fire."""
        return self.steps if self.onset_delay else max(self.counted - self.start(depth), 1)

    def fired(self, depth: int, now: int) -> int:
        """Return over how many of the first ``now`` steps the rate of neurons of a depth is taken.

        Under an onset delay, those in which they may fire; else all, a warm-up and what the readout leaves out, too.
        """
        return max(min(now - self.start(depth), self.steps), 0) if self.onset_delay else now

    def latency(self, depth: int) -> int:
        """Return the steps before the first one that the readout counts, behind neurons of a depth."""
        return self.start(depth) + self.readout_from if self.onset_delay else self.readout_from
