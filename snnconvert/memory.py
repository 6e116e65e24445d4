"""How much memory a process may take, by its user, by its container, or by the machine; and whether it ran out of it.

A user's limit is RLIMIT_DATA: private memory that is asked for, whether it is touched or not; code and mapped files are
beside it.
"""

import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/statm")
DATA = 5  # of its fields: pages of data and stacks, which RLIMIT_DATA counts
CONTAINERS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
NEAR = 0.8
NO_MEMORY = ("bad_alloc", "llocate memory", "out of memory", "can't start new thread")  # said by libraries
UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def quantity(value: object, units: dict[str, int]) -> float | None:
    """Read a number with a unit, such as 8G, or a plain one; None is nothing (ValueError: it is neither)."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    number = r"([0-9]{1,12}(?:\.[0-9]{1,6})?)"
    found = re.fullmatch(f"{number}([{''.join(units)}])", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"expected a number with one of the units {', '.join(units)}")
    return float(found[1]) * units[found[2]]


def size(value: object, least: int, example: str) -> int | None:
    """Read a size in bytes (ValueError: it is none, or less than that)."""
    octets = quantity(value, UNITS)
    if octets is not None and octets < least:
        raise ValueError(f"expected a size such as {example}; {least // 10**6}M are needed at the least")
    return None if octets is None else int(octets)


def load_libraries() -> None:
    """Let libraries take what they take once: where there is none, OpenBLAS tries for ever, and threads end it all."""
    import torch
    from numba.core.registry import cpu_target

    cpu_target.target_context.refresh()
    torch.ones(2**20).mul_(2)


def allowed() -> int:
    """Return how many bytes this process may take at most."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in CONTAINERS:
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):  # no container, or "max"
            continue
    ours = limit()
    return min(limits if ours is None else [*limits, ours])


def limit() -> int | None:
    """Return the limit that is in force for this process, in bytes."""
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return None if soft == resource.RLIM_INFINITY else soft


@contextmanager
def confined(limit: int | None) -> Iterator[None]:
    """Let the operating system refuse this process more than so many bytes."""
    if limit is None:
        yield
        return
    load_libraries()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    tightest = min([limit, *(each for each in (soft, hard) if each != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_DATA, (tightest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def ran_out(problem: BaseException | None, limit: int | None = None) -> bool:
    """Tell whether an error came of too little memory, whatever was made of it on the way.

    Where the process holds nearly all of a ``limit``, any error is put down to that.
    """
    while problem is not None:
        if isinstance(problem, MemoryError) or any(words in str(problem) for words in NO_MEMORY):
            return True
        problem = problem.__context__
    if limit is None or not STATUS.exists():
        return False
    return int(STATUS.read_text().split()[DATA]) * resource.getpagesize() > NEAR * limit
