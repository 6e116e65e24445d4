"""How pictures that matplotlib draws look, whatever the user's own matplotlib is set to."""

from typing import Any

QUIET = "#5a6675"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "snnconvert",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
