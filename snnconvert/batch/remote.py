"""``python -m snnconvert.batch.remote``: one task from stdin, its outcome to stdout, in a process of its own.

For workers that may have threads and must not be forked: this process is new, has one thread, and ends with them.
"""

import json
import os
import signal
import sys
from types import FrameType

from snnconvert.batch.child import live_with
from snnconvert.batch.local import LocalPool
from snnconvert.batch.task import Outcome, Task


def main() -> int:
    """Carry out the task, and return the exit status of this process: 0 where there is an outcome."""
    document = json.load(sys.stdin)
    live_with(document["parent"])
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    task = Task(**document["task"])
    pool = LocalPool(1)
    try:
        pool.submit(task)
        ended: list[tuple[str, Outcome]] = []
        while not ended:
            ended = pool.wait(None)
    finally:
        pool.close()
    sys.stdout.write(json.dumps(ended[0][1].to_document()))
    return 0


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
