"""Tells, for every node of the model file, what has become of it."""

import math
from collections.abc import Sequence
from typing import Any

from snnconvert.graph import Node, Origin, Role
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.network.pooling import APPROXIMATIONS


def fates(origins: Sequence[Origin], network: SpikingNetwork | None) -> list[dict[str, Any]]:
    """Return name, operator, fate, scale and detail of every node of the file, in its order.

    Without a network (some node is refused) the others are ``readable``.
    """
    holders: dict[str, list[Node]] = {}
    for node in () if network is None else network.graph.nodes:
        for name in node.origins:
            holders.setdefault(name, []).append(node)
    rows = []
    for origin in origins:
        row: dict[str, Any] = {"name": origin.name, "operator": origin.operator, "scale": None, "detail": ""}
        if origin.fate:
            fate, _, detail = origin.fate.partition(": ")
            row |= {"fate": fate, "detail": detail}
        elif network is None:
            row |= {"fate": "readable"}
        elif origin.name not in holders:
            row |= {"fate": "folded", "detail": "it changed nothing"}
        else:
            row |= _fate(origin.name, holders[origin.name], network)
        rows.append(row)
    return rows


def _fate(origin: str, holders: Sequence[Node], network: SpikingNetwork) -> dict[str, Any]:
    """Tell of the nodes that hold a part of an original one: its neurons, else its own node, else who took it in."""
    layers = [node for node in holders if node.name in network.neurons]
    if layers:
        count = sum(math.prod(network.graph.shapes[node.name]) for node in layers)
        detail = f"{count:,} neurons" + (f" in {len(layers)} layers" if len(layers) > 1 else "")
        return {"fate": "spiking", "scale": float(network.scales[layers[0].name].mean()), "detail": detail}
    own = [node for node in holders if node.name == origin]
    own += [node for node in holders if node.origins[0] == origin and node.name not in node.origins]
    if not own:
        return {"fate": "folded", "detail": f"into '{holders[0].name}'"}
    return fate_of_node(own[0], network)


def fate_of_node(node: Node, network: SpikingNetwork) -> dict[str, Any]:
    """Tell what a node of the network is, which has no neurons: fate, scale and detail."""
    kind = network.traffic[node.name]
    scale = float(network.scales[node.name].mean())
    if node.name in network.pools:
        return _fate_of_pool(node, network) | {"scale": scale}
    if node.operator.role is Role.MAXIMUM:
        return {"fate": "linear", "scale": scale, "detail": "the plain maximum: its input is constant"}
    if kind is Traffic.GRADED:
        return {"fate": "graded current", "scale": scale, "detail": "weights follow before any neuron"}
    if node.operator.role is Role.WEIGHTED:
        detail = "on the constant input: computed once" if kind is Traffic.CONSTANT else ""
        return {"fate": "weighted synapse", "scale": scale, "detail": detail}
    return {"fate": "linear", "scale": scale, "detail": ""}


def _fate_of_pool(node: Node, network: SpikingNetwork) -> dict[str, Any]:
    form, spikes = network.pools[node.name], network.traffic[node.name] is Traffic.SPIKES
    fate = "linear" if form == "average" else "spiking" if spikes else "graded current"
    if form in APPROXIMATIONS:
        return {"fate": fate, "detail": APPROXIMATIONS[form]}
    return {"fate": fate, "detail": "exact, by counting spikes" if spikes else "the maximum of accumulated currents"}
