"""A ceiling on the memory of this process, for the time that torch runs what a file says."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

STATUS = Path("/proc/self/statm")
DATA = 5  # of its fields: pages of data and stacks, which RLIMIT_DATA counts


@contextlib.contextmanager
def memory_limited(more: int | None) -> Iterator[None]:
    """Let allocations fail that take the process so many bytes beyond what it has (Linux only; None is no limit)."""
    if more is None or not STATUS.exists():
        yield
        return
    taken = int(STATUS.read_text().split()[DATA]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = taken + more if soft == resource.RLIM_INFINITY else min(taken + more, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
