"""What the user says about a model file beyond the file itself."""

from collections.abc import Callable
from dataclasses import dataclass

from snnconvert.graph import Shape


@dataclass(frozen=True)
class Asked:
    """``input_shape`` is of one sample, without the batch; ``guess_shape`` tells that of the samples, when needed.

    ``output`` names the output to convert where there are several. ``trust`` lets torch open an archive that the scan
    does not pass.
    """

    input_shape: Shape | None = None
    guess_shape: Callable[[], Shape] | None = None
    output: str | None = None
    trust: bool = False

    def shape(self) -> Shape | None:
        """Return the input shape that the user or the samples tell, None where nobody does."""
        if self.input_shape is None and self.guess_shape is not None:
            return self.guess_shape()
        return self.input_shape
