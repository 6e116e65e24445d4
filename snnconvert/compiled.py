"""Compiles loops with numba, and keeps the machine code between runs where there is a place for it."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a loop over arrays for all threads (``numba.prange``)."""
    settings = {"parallel": True, "nogil": True}
    try:
        found: Function = numba.njit(cache=True, **settings)(function)
    except RuntimeError:  # neither the package nor the home of the user can be written: compile at each start
        found = numba.njit(**settings)(function)
    return found
