"""The peak memory of one call in this process, beyond what the process has already."""

import ctypes
from collections.abc import Callable
from pathlib import Path

PROCESS = Path("/proc/self")


def resident(field: str) -> int:
    """Return the resident set, now (VmRSS) or at its peak (VmHWM), in bytes."""
    lines = (PROCESS / "status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def extra_memory(function: Callable[[], object]) -> int | None:
    """Call a function; return the bytes by which the resident set rose at most, or None where that cannot be told.

    What was freed before is given back to the system first (malloc_trim), or the call would take it unseen.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
        (PROCESS / "clear_refs").write_text("5")  # sets the peak to the present: proc(5)
    except (AttributeError, OSError, TypeError):
        function()
        return None
    before = resident("VmRSS")
    function()
    return resident("VmHWM") - before
