"""The forms that max pools take over what changes with time: which of them can stand before neurons, what is told."""

from collections.abc import Mapping

from snnconvert.fold.max_pool import Pooling
from snnconvert.graph import Graph, Role
from snnconvert.operators.affine import Affine

APPROXIMATIONS: Mapping[Pooling, str] = {
    "gate": "approximated by the gate of the leading input",
    "average": "approximated by the mean of the window",
    "before": "approximated by the maximum of the currents, step by step",
}
UNMOVED = "exact, as they cannot stand before neurons"
LISTED = 8  # names in one line


def before_neurons(graph: Graph) -> set[str]:
    """Return the values that go to neurons and nowhere else, through nothing but one-to-one synapses and pools."""
    found: set[str] = set()
    for node in reversed(graph.nodes):
        readers = graph.consumers[node.name]
        on_their_way = (
            reader.operator.role is Role.ACTIVATION
            or (reader.name in found and (isinstance(reader.operator, Affine) or reader.operator.role is Role.MAXIMUM))
            for reader in readers
        )
        if readers and node.name != graph.output and all(on_their_way):
            found.add(node.name)
    return found


def pool_notes(pools: Mapping[str, Pooling], wanted: Pooling) -> list[str]:
    """Return a line for each way in which pools are approximated, and one for those that ``before`` cannot move."""
    told = {**APPROXIMATIONS, "exact": UNMOVED} if wanted == "before" else APPROXIMATIONS
    lines = []
    for form, what in told.items():
        names = [f"'{name}'" for name, taken in pools.items() if taken == form]
        if names:
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            lines.append(f"max pools {what}: {', '.join(names[:LISTED])}{more}")
    return lines
