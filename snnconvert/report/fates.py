"""Tells, for every node of the model file, what has become of it."""

from typing import Any

from snnconvert.graph import Graph, Node, Role
from snnconvert.network import SpikingNetwork, Traffic


def fates(loaded: Graph, network: SpikingNetwork) -> list[dict[str, Any]]:
    """Return name, operator, fate, scale and detail of every node, in the order of the file."""
    holders = {origin: node for node in network.graph.nodes for origin in node.origins}
    rows = []
    for origin in loaded.origins:
        row: dict[str, Any] = {"name": origin.name, "operator": origin.operator, "scale": None, "detail": ""}
        holder = holders.get(origin.name)
        if origin.fate:
            fate, _, detail = origin.fate.partition(": ")
            row |= {"fate": fate, "detail": detail}
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
    constant = kind is Traffic.CONSTANT
    if node.operator.role is Role.MAXIMUM:
        detail = "the plain maximum: its input is constant" if constant else "exact, by counting spikes"
        return {"fate": "linear" if constant else "spiking", "scale": scale, "detail": detail}
    if kind is Traffic.GRADED:
        return {"fate": "graded current", "scale": scale, "detail": "weights follow before any neuron"}
    if node.operator.role is Role.WEIGHTED:
        detail = "on the constant input: computed once" if constant else ""
        return {"fate": "weighted synapse", "scale": scale, "detail": detail}
    return {"fate": "linear", "scale": scale, "detail": ""}
