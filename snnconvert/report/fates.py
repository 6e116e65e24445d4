"""Tells, for every node of the model file, what has become of it."""

from collections.abc import Sequence
from typing import Any

from snnconvert.graph import Node, Origin, Role
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.network.pooling import APPROXIMATIONS


def fates(origins: Sequence[Origin], network: SpikingNetwork | None) -> list[dict[str, Any]]:
    """Return name, operator, fate, scale and detail of every node of the file, in its order.

    Without a network (some node is refused) the others are ``readable``.
    """
    holders = {} if network is None else {origin: node for node in network.graph.nodes for origin in node.origins}
    rows = []
    for origin in origins:
        row: dict[str, Any] = {"name": origin.name, "operator": origin.operator, "scale": None, "detail": ""}
        holder = holders.get(origin.name)
        if origin.fate:
            fate, _, detail = origin.fate.partition(": ")
            row |= {"fate": fate, "detail": detail}
        elif network is None:
            row |= {"fate": "readable"}
        elif holder is None:
            row |= {"fate": "folded", "detail": "it changed nothing"}
        else:
            row |= _fate(holder, origin.name, network)
        rows.append(row)
    return rows


def _fate(node: Node, origin: str, network: SpikingNetwork) -> dict[str, Any]:
    kind = network.traffic[node.name]
    scale = float(network.scales[node.name].mean())
    if node.name in network.neurons:
        count = 1
        for size in network.graph.shapes[node.name]:
            count *= size
        return {"fate": "spiking", "scale": scale, "detail": f"{count:,} neurons"}
    if len(node.origins) > 1 and origin != node.name:
        return {"fate": "folded", "detail": f"into '{node.name}'"}
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
