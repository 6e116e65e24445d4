import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from snnconvert.compiled import compiled


def double(values: np.ndarray) -> None:
    for index in numba.prange(len(values)):
        values[index] *= 2


def test_loop_is_compiled() -> None:
    values = np.arange(5.0)
    compiled(double)(values)
    assert values.tolist() == [0, 2, 4, 6, 8]


def test_loop_is_compiled_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = []
    njit = numba.njit

    def without_a_place(**given: bool) -> Callable[[Any], Any]:
        settings.append(given)
        if given.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**given)

    monkeypatch.setattr(numba, "njit", without_a_place)
    values = np.ones(2)
    compiled(double)(values)
    assert values.tolist() == [2, 2]
    assert [each.get("cache", False) for each in settings] == [True, False]


LIMITED = """
import resource, numpy as np
from snnconvert.simulate.fused import integrate_and_fire
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
none, spikes = np.zeros(0, np.float32), np.zeros(3, np.uint8)
currents, potential, count = np.full(3, 1.5, np.float32), np.zeros(3, np.float32), np.zeros(3, np.float32)
integrate_and_fire(currents, spikes, 3, none, potential, count, 1, 0, True)
print(spikes.sum())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on the size of files")
def test_run_goes_on_where_machine_code_finds_no_room(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", LIMITED], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]
