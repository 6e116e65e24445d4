"""Compiles loops with numba, and keeps the machine code between runs where there is a place for it."""

import contextlib
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a loop over arrays for all threads (``numba.prange``)."""
    return _compiled(function, True)


def compiled_for_one(function: Function) -> Function:
    """Compile a loop over arrays for the thread that calls it; other threads of Python go on."""
    return _compiled(function, False)


def _compiled(function: Function, parallel: bool) -> Function:
    settings = {"parallel": parallel, "nogil": True}
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_place(before))
    try:
        found: Function = numba.njit(cache=True, **settings)(function)
        _keep_if_possible(found)
    except RuntimeError:  # the place cannot be written: compile at each start
        found = numba.njit(**settings)(function)
    finally:
        numba.config.CACHE_DIR = before
    return found


def _keep_if_possible(function: Any) -> None:
    """Let a run go on where its machine code cannot be kept: on a full disk, say."""
    cache = function._cache
    save = cache.save_overload

    def save_if_possible(*arguments: Any) -> None:
        with contextlib.suppress(OSError):
            save(*arguments)

    cache.save_overload = save_if_possible


def _place(wanted: str) -> Path:
    """Return a folder of machine code for just this source of the loops.

    numba looks at the file of a loop alone, and would go on with what it once made of functions of other files.
    """
    base = Path(wanted) if wanted else Path(__file__).parent / "__pycache__"
    return base / f"loops-{_source()}"


def place_of_loops() -> tuple[Path, bool]:
    """Return where machine code is kept between runs, and whether some is there."""
    place = _place(numba.config.CACHE_DIR)
    return place, any(place.rglob("*.nbc"))


@cache
def _source() -> str:
    """Return a digest of the source files of the engine, whose loops are compiled from several of them."""
    digest = hashlib.sha256()
    for path in sorted((Path(__file__).parent / "simulate").glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
