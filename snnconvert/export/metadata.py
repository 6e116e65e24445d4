"""The metadata of a step model: JSON in a file that may be anybody's, checked before any of it is used.

What is not as step_model.py writes it raises ValueError, TypeError, KeyError or AttributeError; deployed.py tells it.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import onnx

from snnconvert.data import Preprocessing
from snnconvert.network import Schedule, SpikingNetwork

KEY = "snnconvert"  # of the metadata
MOST = {"T": 1_000_000, "onset_delay": 100_000, "readout_from": 1_000_000, "warm_up": 1000}  # as in conversions


class OlderVersion(Exception):  # noqa: N818 - an answer
    """A step model of a version that wrote no ``network``."""


def metadata_of(model: onnx.ModelProto) -> dict[str, Any]:
    """Return the metadata; numbers in them are finite, and what other files repeat is what it should be.

    Raises:
        OlderVersion: they do not say how the file is read back.
    """
    found = {entry.key: entry.value for entry in model.metadata_props}
    about = json.loads(found[KEY], parse_float=_finite, parse_constant=_finite)
    if not isinstance(about, dict):
        raise TypeError("the metadata are no JSON object")
    if "network" not in about:
        raise OlderVersion
    source, classes = about.get("model", {}), about.get("classes")
    if not all(isinstance(text, str) for text in (about.get("version", ""), *source.values())):
        raise TypeError("no names of a model and a version")
    if classes is not None and (type(classes) is not int or classes < 1):
        raise ValueError(f"{classes} classes")
    Preprocessing.parse(about.get("preprocess"))
    return about


def schedule_of(told: Mapping[str, Any]) -> Schedule:
    """Return the schedule, within the limits of conversions."""
    values = {"readout_from": 0, "warm_up": 0.0, **told}
    for name, most in MOST.items():
        kinds = (int, float) if name == "warm_up" else (int,)
        if type(values[name]) not in kinds or not (name == "T") <= values[name] <= most:
            raise ValueError(f"a schedule with {name} = {values[name]}")
    return Schedule(values["T"], values["onset_delay"], float(values["warm_up"]), values["readout_from"])


def stop_lead_of(told: Mapping[str, Any]) -> float | None:
    """Return the lead that settles a sample."""
    lead = told.get("stop_lead")
    if lead is not None and (type(lead) is not float or lead <= 0):
        raise ValueError(f"a stop_lead of {lead}")
    return lead


def require_states(model: onnx.ModelProto, about: Mapping[str, Any], network: SpikingNetwork) -> None:
    """Refuse states, and spikes of layers, that are not those of the file and of the network in it."""
    inputs = {value.name: _sizes(value) for value in model.graph.input if value.name not in ("input", "step")}
    outputs = {value.name: _sizes(value) for value in model.graph.output}
    if about["states"].keys() != inputs.keys():
        raise ValueError("its states are others")
    own = {layer["state"] for layer in about["network"]["layers"].values() if "neuron" in layer}
    known = {tuple(shape) for shape in network.graph.shapes.values()}
    for name, told in about["states"].items():
        shape = tuple(told["shape"])
        if shape not in known or inputs[name] != shape or outputs[told["next"]] != shape:
            raise ValueError(f"a state '{name}' of shape {shape}")
        if name not in own and told["initial"] != 0:  # those of neurons are compared with the neurons
            raise ValueError(f"a state '{name}' that begins at {told['initial']}")
    sent = {told["node"]: outputs[name] for name, told in about["emitters"].items()}
    expected = {node.name: tuple(network.graph.shapes[node.name]) for node in network.emitters}
    if sent != expected or len(sent) != len(about["emitters"]):
        raise ValueError("the layers that send spikes are others")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]}")
    return number


def _sizes(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])
