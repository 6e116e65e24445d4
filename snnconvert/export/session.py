"""Runs a step model in ONNX Runtime: what was deployed, by a program that is not ours."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnconvert.errors import ModelError, first_line
from snnconvert.measure.fan_out import unpacked_numbers


def onnx_session(content: bytes, where: str) -> Any:
    """Return an ONNX Runtime session of a model.

    Raises:
        ModelError: ONNX Runtime does not take it (E101).
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # noqa: BLE001 - ONNX Runtime's exceptions have no common base
        raise ModelError(
            "E101", f"{where}: ONNX Runtime does not take it ({first_line(problem)})", "make the bundle again"
        ) from None


def run_step_model(
    content: bytes, about: Mapping[str, Any], x: Tensor, steps: int, where: str
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Present ``x (N, ...)`` for some steps; return the output behind the last, the spikes of each node, summed, and
    the potentials that its neurons are left with.

    Raises:
        ModelError: see :func:`onnx_session`; or its metadata do not fit it (E125).
    """
    session = onnx_session(content, where)
    inputs = {value.name for value in session.get_inputs()}
    outputs = [value.name for value in session.get_outputs()]
    try:
        states = {name: _initial(told, len(x)) for name, told in about["states"].items()}
        counts = {told["node"]: torch.zeros(()) for told in about["emitters"].values()}
        found: dict[str, Any] = {}
        for step in range(steps):
            feed = {"input": x.numpy(), "step": np.asarray(step, np.int64), **states}
            ran = session.run(outputs, {name: value for name, value in feed.items() if name in inputs})
            found = dict(zip(outputs, ran, strict=True))
            states = {name: found[told["next"]] for name, told in about["states"].items()}
            for name, told in about["emitters"].items():
                counts[told["node"]] = counts[told["node"]] + torch.from_numpy(found[name])
        layers = {name: told for name, told in about["network"]["layers"].items() if "neuron" in told}
        potentials = {name: torch.from_numpy(states[told["state"]]) for name, told in layers.items()}
        return torch.from_numpy(found["output"]), counts, potentials
    except Exception as problem:  # noqa: BLE001 - as above
        raise ModelError(
            "E125", f"{where}: not what its metadata say ({first_line(problem)})", "make the bundle again"
        ) from None


def run_window_model(content: bytes, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Present ``x (N, ...)`` at every step to a whole-window model (see window_model.py).

    Returns its output, and the spikes of each node, summed.

    Raises:
        ModelError: see :func:`onnx_session`; or it does not run (E125).
    """
    session = onnx_session(content, "whole window")
    names = [value.name for value in session.get_outputs()]
    try:
        expected = session.get_inputs()[0].shape
        presented = at_every_step(x, expected[1]) if len(expected) > x.ndim else x
        found = dict(zip(names, session.run(names, {"input": presented.numpy()}), strict=True))
    except Exception as problem:  # noqa: BLE001 - as above
        raise ModelError(
            "E125", f"whole window: ONNX Runtime does not run it ({first_line(problem)})", "make the bundle again"
        ) from None
    counts = {name.removeprefix("counts."): torch.from_numpy(found[name]) for name in names if "counts." in name[:7]}
    return torch.from_numpy(found["output"]), counts


def at_every_step(x: Tensor, steps: int) -> Tensor:
    """Return ``x (N, ...)`` as an input ``(N, steps, ...)`` of events, the same in each step."""
    return x[:, None].repeat(1, steps, *[1] * (x.ndim - 1))


def _initial(told: Mapping[str, Any], samples: int) -> Any:
    value = told["initial"]
    one = unpacked_numbers(value).reshape(told["shape"]) if isinstance(value, dict) else value
    return np.array(np.broadcast_to(np.asarray(one, np.float32), (samples, *told["shape"])))
