"""The graph before and after, side by side: nodes of the model file on the left, what they became on the right.

Nodes stand one under the other in the order of the network. A value goes straight down to the node below, or along an
arc to one further away; what became of a node stands beside it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from snnconvert.graph import Graph, Node
from snnconvert.network import SpikingNetwork
from snnconvert.report.fates import fate_of_node
from snnconvert.report.quantities import count
from snnconvert.report.text import printable

MOST = 250  # nodes; what is longer is read in the table
WIDTH, ROW, TOP = 760.0, 19.0, 34.0
BEFORE, AFTER = 92.0, WIDTH - 92.0  # columns of dots; words stand between them
MIDDLE = 404.0  # where the words of what became of nodes begin
REACH = 80.0  # of an arc
STYLES = {"spiking": "spiking", "weighted synapse": "synapse", "graded current": "graded"}


@dataclass(frozen=True)
class Dot:
    """A node in a column: where it stands, what is said of it, and whose outputs it reads."""

    name: str
    row: int
    words: str
    style: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """Two columns of nodes; ``gone`` are words, by row, on nodes that became none of their own."""

    before: Sequence[Dot]
    after: Sequence[Dot]
    gone: Mapping[int, str]
    rows: int


def graph_picture(loaded: Graph, network: SpikingNetwork, fates: Iterable[Mapping[str, Any]]) -> Markup | None:
    """Return the picture as SVG for a page; None where there are too many nodes. ``fates`` are those of all nodes."""
    if len(loaded.nodes) > MOST or len(network.graph.nodes) > 2 * MOST:
        return None
    return _svg(_arranged(loaded, network, {each["name"]: each for each in fates}))


def _arranged(loaded: Graph, network: SpikingNetwork, fates: Mapping[str, Mapping[str, Any]]) -> Picture:
    """Put every node of the network beside that of the file which it is, or came from; more than one take more rows."""
    places = _places(loaded, network)
    beside: dict[str, list[Node]] = {node.name: [] for node in loaded.nodes}
    for node in network.graph.nodes:
        beside[places[node.name]].append(node)
    before = [Dot(loaded.input, 0, "input", "", ())]
    after = [Dot(network.graph.input, 0, "input", "", ())]
    gone, row = {}, 1
    for node in loaded.nodes:
        fate = fates.get(node.origins[0] if node.origins else node.name, {})
        operator = printable(str(fate.get("operator", type(node.operator).__name__)), 24)
        before.append(Dot(node.name, row, f"{operator}  {printable(node.name, 30)}", "", node.inputs))
        for extra, each in enumerate(beside[node.name]):
            after.append(_after(each, row + extra, network))
        if not beside[node.name]:
            gone[row] = printable(f"{fate.get('fate', 'folded')} {fate.get('detail', '')}".strip(), 44)
        row += max(1, len(beside[node.name]))
    return Picture(before, after, gone, row)


def _places(loaded: Graph, network: SpikingNetwork) -> dict[str, str]:
    """Return for every node of the network the one of the file beside which it stands: itself, or one that it was.

    One that the conversion has added (a synapse of a shortcut) stands beside the node that reads it.
    """
    holders = {origin: node.name for node in reversed(loaded.nodes) for origin in node.origins}
    places: dict[str, str] = {}
    for node in reversed(network.graph.nodes):
        readers = [places[reader.name] for reader in network.graph.consumers[node.name]]
        known = [holders[origin] for origin in node.origins if origin in holders]
        places[node.name] = node.name if node.name in loaded.by_name else (known or readers or [loaded.output])[0]
    return places


def _after(node: Node, row: int, network: SpikingNetwork) -> Dot:
    if node.name in network.neurons:
        neurons = count(math.prod(network.graph.shapes[node.name]))
        return Dot(node.name, row, f"{neurons} neurons '{network.neurons[node.name].name}'", "spiking", node.inputs)
    told = fate_of_node(node, network)
    words = f"{type(node.operator).__name__}: {told['fate']}"
    return Dot(node.name, row, words, STYLES.get(told["fate"], ""), node.inputs)


def _y(row: int) -> float:
    return TOP + row * ROW


def _svg(picture: Picture) -> Markup:
    height = _y(picture.rows) + 4
    parts = [
        f'<svg class="curve graph" viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-labelledby="graph">',
        '<title id="graph">The nodes of the model file, and beside them what they became; the table has all</title>',
        f'<text x="{BEFORE + 12:.0f}" y="14">the ANN</text><text x="{MIDDLE:.0f}" y="14">the spiking network</text>',
        *_edges(picture.before, BEFORE, -1),
        *_edges(picture.after, AFTER, 1),
    ]
    parts += [_dot(dot, BEFORE) + _words(dot.words, BEFORE + 12, dot.row, "") for dot in picture.before]
    for dot in picture.after:
        line = f'<line class="grid" x1="{MIDDLE:.0f}" y1="{_y(dot.row):.0f}" x2="{AFTER:.0f}" y2="{_y(dot.row):.0f}"/>'
        parts.append(line + _dot(dot, AFTER) + _words(dot.words, MIDDLE, dot.row, "on"))
    parts += [_words(words, MIDDLE, row, "tick") for row, words in picture.gone.items()]
    return Markup("\n".join([*parts, "</svg>"]))  # noqa: S704 - words are escaped


def _words(words: str, x: float, row: int, style: str) -> str:
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{x:.0f}" y="{_y(row) + 4.5:.1f}">{escape(words)}</text>'


def _dot(dot: Dot, x: float) -> str:
    return f'<circle class="dot {dot.style}" cx="{x:.0f}" cy="{_y(dot.row):.1f}" r="4.5"/>'


def _edges(dots: Sequence[Dot], x: float, side: int) -> Iterable[str]:
    """Draw what each node reads: a line from the dot above, else an arc on this side (-1 left, 1 right)."""
    rows = {dot.name: dot.row for dot in dots}
    above = {below.name: dot.name for dot, below in pairwise(sorted(dots, key=lambda dot: dot.row))}
    longest = max((abs(dot.row - rows[name]) for dot in dots for name in dot.inputs), default=1)
    for dot in dots:
        for name in dict.fromkeys(dot.inputs):
            start, end = _y(rows[name]), _y(dot.row)
            if above.get(dot.name) == name:
                yield f'<path class="edge" d="M{x:.0f} {start:.1f}V{end:.1f}"/>'
                continue
            away = x + side * (14 + (REACH - 14) * math.sqrt(abs(dot.row - rows[name]) / longest))
            arc = f"C{away:.1f} {start:.1f} {away:.1f} {end:.1f} {x:.0f} {end:.1f}"
            yield f'<path class="edge" d="M{x:.0f} {start:.1f}{arc}"/>'
