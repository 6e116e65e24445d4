"""``python -m snnconvert.batch.server``: takes tasks from stdin, forks a child for each, tells outcomes on stdout.

A process of its own, since it may have no threads of anybody else. Both ways, a message is a line of JSON. It ends when
stdin does; it and its children die with the process that started it.
"""

import json
import os
import signal
import sys

from snnconvert.batch.forks import Forks
from snnconvert.batch.task import Task
from snnconvert.processes import live_with


def main() -> int:
    """Serve until there is nobody to serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of us: who started us decides
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    live_with(int(sys.argv[1]))
    forks, rest = Forks(), b""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # now that there may be children to stop first: stdin's end says when
    try:
        while True:
            for name, outcome in forks.wait(0):
                answers.write(f"{json.dumps([name, outcome.to_document()])}\n")
                answers.flush()
            if not forks.heard:
                continue
            received = os.read(0, 2**20)
            if not received:
                return 0
            *lines, rest = (rest + received).split(b"\n")
            for line in lines:
                forks.submit(Task(**json.loads(line)))
    finally:
        forks.close()


if __name__ == "__main__":
    os._exit(main())  # nothing is left to clean up, and torch takes its time to
