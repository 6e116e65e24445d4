"""A table of a page: texts in rows, under a header."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table of texts; the columns named in ``left`` hold words, the others numbers; the first heads its row."""

    caption: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    left: frozenset[str]


def table(
    caption: str, header: tuple[str, ...], cells: Iterable[tuple[str, ...]], left: set[str] | None = None
) -> Table:
    """Return a table whose numbers stay with their units."""
    return Table(caption, header, [tuple(map(unbroken, row)) for row in cells], frozenset(left or ()))


def unbroken(text: str) -> str:
    """Keep a number and its unit on one line."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")
