"""Who is told how far a run is."""

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """What a conversion says while it runs."""

    def stage(self, name: str, total: int) -> None:
        """A stage begins that will advance by ``total`` samples."""

    def advance(self, samples: int) -> None:
        """Some samples of the stage are done."""

    def note(self, text: str) -> None:
        """A choice was made that the user should know."""

    def detail(self, text: str) -> None:
        """Something was measured that only the curious want to see."""

    def warn(self, text: str) -> None:
        """Something is likely wrong."""


class Silent:
    """Says nothing."""

    def stage(self, name: str, total: int) -> None:
        """Say nothing."""

    def advance(self, samples: int) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def detail(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""


def counted(progress: Progress, stage: str) -> Callable[[int, int], None]:
    """Return a function of (done, all) that drives one stage."""
    before = 0

    def reached(done: int, total: int) -> None:
        nonlocal before
        if before == 0:
            progress.stage(stage, total)
        progress.advance(done - before)
        before = done

    return reached
