"""The JSON, YAML and npz documents of a bundle."""

import io
import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from snnconvert import __version__
from snnconvert.calibrate import RELATIVE_ERROR, ActivationStatistics
from snnconvert.data import Selection
from snnconvert.measure import Outcomes


def as_json(document: Mapping[str, Any]) -> bytes:
    """Write JSON in the one form that all files of a bundle have."""
    return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def calibration_document(
    statistics: ActivationStatistics, scales: Mapping[str, Tensor], percent: float, nonzero: bool
) -> dict[str, Any]:
    """Return calibration.json: scale, percentile, maximum and share of zeros of every activation."""
    values = {}
    for name, layer in statistics.layers.items():
        values[name] = {
            "scale": scales[name].flatten().tolist(),
            "percentile": layer.percentile(percent, nonzero).tolist(),
            "max": layer.maximum.tolist(),
            "zeros": layer.zeros,
            "samples": statistics.samples,
        }
    return {
        "schema": "snnconvert/calibration/1",
        "percentile": percent,
        "percentile_of": "nonzero" if nonzero else "all",
        "per_channel": statistics.per_channel,
        "relative_error": RELATIVE_ERROR,
        "samples": statistics.samples,
        "values": values,
    }


def predictions(outcomes: Outcomes, chosen: Selection) -> bytes:
    """Return predictions.npz: ``id``, ``label`` (-1 where unknown), ``ann``, ``steps`` and ``snn (samples, steps)``.

    ``source`` and ``index`` say where the samples came from: the path of the set, and their positions in it.
    """
    buffer = io.BytesIO()
    count, classes = len(chosen), outcomes.classes is not None
    np.savez_compressed(
        buffer,
        id=np.array(chosen.ids),
        index=chosen.indices,
        source=np.array(chosen.dataset.path),
        label=np.full(count, -1, np.int64) if outcomes.labels is None else outcomes.labels,
        ann=outcomes.ann if classes else np.full(count, -1, np.int32),
        steps=np.array(outcomes.steps, np.int64),
        snn=outcomes.snn.T if classes else np.zeros((count, 0), np.int32),
    )
    return buffer.getvalue()


def run_record(
    command: str, started: float, durations: Mapping[str, float], warnings: Sequence[str], tried: Sequence[str] = ()
) -> bytes:
    """Return run.json: what differs from run to run."""
    return as_json(
        {
            "schema": "snnconvert/run/1",
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "seconds": {name: round(value, 3) for name, value in durations.items()},
            "command": command,
            "host": platform.node(),
            "platform": platform.platform(),
            "python": sys.version.split()[0],
            "packages": {
                "snnconvert": __version__,
                "torch": torch.__version__,
                "onnxruntime": onnxruntime.__version__,
                "numpy": np.__version__,
            },
            "threads": torch.get_num_threads(),
            "warnings": list(warnings),
            "tried": list(tried),
        }
    )
