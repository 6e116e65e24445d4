"""The key of a job: what its result depends on, and nothing else, so that equal keys mean equal results.

It covers the contents of model and samples (not their paths), every resolved option that can change a result, the kind
of device, the versions of the packages that compute, and ``EPOCH``, which grows when the same options come to mean
something else.
"""

import hashlib
import json
import mmap
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from snnconvert.config import Job
from snnconvert.data import file_digest, samples_digest
from snnconvert.errors import ModelError, UsageError
from snnconvert.report.provenance import versions
from snnconvert.yaml_document import yaml_text

EPOCH = 3
AFTER_CALIBRATION = (  # options that act on statistics, and not on how they are collected
    *("eval.samples", "eval.batch_size", "convert.method", "convert.percentile", "convert.percentile_of"),
    *("convert.correct", "convert.correct_samples", "convert.neuron", "convert.spikes", "convert.reset"),
    *(
        "convert.weights",
        "convert.initial_potential",
        "convert.steps",
        "convert.onset_delay",
        "convert.warm_up",
        "convert.readout_from",
        "convert.stop",
    ),
)
EXTERNAL = b"location"  # what ONNX calls the place of weights in another file


def key_document(job: Job, contents: "Contents") -> dict[str, Any]:
    """Return what the result of a job depends on; its digest is the key.

    Raises:
        UsageError: a model or a set of samples is not there (E001).
        DataError: samples cannot be read (E203).
    """
    return {
        "schema": "snnconvert/key/1",
        "epoch": EPOCH,
        "model": contents.of_model(job.model),
        "calib": contents.of_samples(job.calib.path),
        "eval": None if job.eval.path is None else contents.of_samples(job.eval.path),
        "options": job.portable,
        "device": device_class(job.device),
        "versions": versions(),
    }


def key_of(document: Mapping[str, Any]) -> str:
    """Return the key in hexadecimal."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def calibration_part(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the statistics of a job's calibration depend on: equal parts mean equal statistics."""
    options = {
        path: value
        for path, value in document["options"].items()
        if path not in AFTER_CALIBRATION and path.partition(".")[0] != "neuron"
    }
    return {**document, "schema": "snnconvert/calibration-key/1", "options": options, "eval": document["eval"] is None}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Say what differs between two documents of keys."""

    def flat(document: Mapping[str, Any]) -> dict[str, Any]:
        rest = {name: value for name, value in document.items() if name not in ("options", "versions")}
        return {**rest, **dict(document.get("options", {})), **dict(document.get("versions", {}))}

    old, new = flat(before), flat(after)
    told = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            digests = name in ("model", "calib", "eval")
            values = f"{name} was {yaml_text(old.get(name))}, is {yaml_text(new.get(name))}"
            told.append(f"{name} has changed" if digests else values)
    return told


@cache
def device_class(name: str) -> str:
    """Return ``cpu``, or ``cuda`` with the GPU's name: results are the same on the same kind of device only."""
    if name == "cpu" or (name == "auto" and version("torch").endswith("+cpu")):
        return "cpu"
    import torch  # late, too

    if not torch.cuda.is_available():
        return "cpu" if name == "auto" else name
    return f"cuda {torch.cuda.get_device_name(0 if name == 'auto' else name)}"


class Contents:
    """Digests of models and of sets of samples; each is read once, however many jobs use it."""

    def __init__(self) -> None:
        self._models: dict[str, str] = {}
        self._samples: dict[str, str] = {}

    def of_model(self, path: str) -> str:
        """Return the digest of a model, with the weights that it keeps in other files.

        Raises:
            UsageError: it cannot be read (E001).
        """
        if path not in self._models:
            self._models[path] = _model_content(Path(path))
        return self._models[path]

    def of_samples(self, path: str) -> str:
        """Return the digest of a set of samples.

        Raises:
            UsageError: it is not there (E001).
            DataError: it cannot be read (E203).
        """
        if path not in self._samples:
            self._samples[path] = samples_digest(path)
        return self._samples[path]


def _model_content(path: Path) -> str:
    try:
        if not path.is_file():
            raise UsageError("E001", f"{path}: no such file", "the path of a model is relative to the batch file")
        own = file_digest(path)
        if not _mentions_external(path):
            return own
        from snnconvert.load import model_digest  # late: torch takes seconds

        return model_digest(path)
    except ModelError:
        return own  # the job itself will tell why it is refused
    except (OSError, ValueError) as problem:
        raise UsageError("E001", f"{path}: cannot be read ({getattr(problem, 'strerror', None) or problem})") from None


def _mentions_external(path: Path) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(EXTERNAL) >= 0
