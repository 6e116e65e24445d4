"""Assembles the stand-alone evaluator of a bundle from the package's own files, byte for byte."""

from importlib import resources

from snnconvert import __version__

CARRIED = (
    "errors.py",
    "data/preprocessing.py",
    "data/formats.py",
    "data/recordings.py",
    "data/samples.py",
    "measure/fan_out.py",
    "measure/outcomes.py",
    "neurons/events.py",
    "simulate/stopping.py",
    "report/evaluator.py",
)
OPENING = '''\
#!/usr/bin/env python3
"""Rate-coded accuracy of the spiking network beside this file, against time steps.

    python evaluate.py [--data PATH] [--steps 1,2,4,8] [--json]

Needs numpy and onnxruntime (and pillow, where the samples are image files); nothing of snnconvert is installed or
imported. Below stand files of snnconvert {version}, unchanged, one after the other; they import each other by their
names in the package, and here all of these names mean this file.
"""

import sys

for _name in {names}:
    sys.modules[_name] = sys.modules[__name__]
'''
CLOSING = """

if __name__ == "__main__":
    sys.exit(evaluate_here())
"""


def marker(path: str) -> str:
    """Return the line in front of a carried file."""
    return f"\n\n# ---- snnconvert/{path} ----\n\n"


def evaluate_script() -> bytes:
    """Return the text of evaluate.py."""
    modules = ["snnconvert." + path.removesuffix(".py").replace("/", ".") for path in CARRIED]
    packages = sorted({module.rpartition(".")[0] for module in modules})
    opening = OPENING.format(version=__version__, names=repr((*packages, *modules)))
    root = resources.files("snnconvert")
    parts = [opening.encode()]
    for path in CARRIED:
        parts += [marker(path).encode(), root.joinpath(path).read_bytes()]
    return b"".join([*parts, CLOSING.encode()])
