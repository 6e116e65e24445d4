"""What a user may allow an exporter to change, where a format cannot say what was deployed."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from snnconvert.errors import UsageError
from snnconvert.fold import pools_averaged
from snnconvert.network import SpikingNetwork, on_grid


def _averaged(network: SpikingNetwork) -> tuple[SpikingNetwork, str | None]:
    pools = [name for name, form in network.pools.items() if form in ("exact", "gate", "before")]
    if not pools:
        return network, None
    told = f"max pools are approximated by the mean of their window: {', '.join(pools)}"
    return dataclasses.replace(network, graph=pools_averaged(network.graph), pooling="average"), told


def _steady(network: SpikingNetwork) -> tuple[SpikingNetwork, str | None]:
    changing = [name for name, rows in network.biases.items() if len(rows) > 1]
    if not changing:
        return network, None
    rows = {name: table.mean(0, keepdim=True) if name in changing else table for name, table in network.biases.items()}
    told = f"biases that change from step to step are approximated by their mean: {', '.join(changing)}"
    return dataclasses.replace(network, biases={name: on_grid(each) for name, each in rows.items()}), told


APPROXIMATIONS: Mapping[str, Callable[[SpikingNetwork], tuple[SpikingNetwork, str | None]]] = {
    "max-pool": _averaged,
    "step-bias": _steady,
}


def approximated(network: SpikingNetwork, allowed: Iterable[str]) -> tuple[SpikingNetwork, list[str]]:
    """Return the network with the changes that the user allows, and a line for each that was made.

    Raises:
        UsageError: there is no such approximation (E003), or nothing in the network asks for it (E003).
    """
    told = []
    for name in allowed:
        if name not in APPROXIMATIONS:
            raise UsageError("E003", f"--approximate: no '{name}'", f"known: {', '.join(APPROXIMATIONS)}")
        network, line = APPROXIMATIONS[name](network)
        if line is None:
            raise UsageError("E003", f"--approximate {name}: the network holds nothing of it", "leave it out")
        told.append(line)
    return network, told
