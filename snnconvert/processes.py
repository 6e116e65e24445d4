"""What our processes ask of the system: how many processors there are, and an end with the one that started them."""

import ctypes
import os
import signal
import sys

DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def live_with(parent: int) -> None:
    """End with the process that started this one; at once, where that has ended already.

    The kernel sends the signal when the thread that forked ends, so that it must be one that waits for us.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
