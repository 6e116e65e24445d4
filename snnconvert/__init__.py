"""Convert trained ReLU networks to spiking ones, and prove that they still are the same network.

``load_bundle`` opens what a conversion wrote; :mod:`snnconvert.api` has the other verbs as functions.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnconvert.api import Bundle, load_bundle

__version__ = "0.1.0"
__all__ = ["Bundle", "__version__", "load_bundle"]


def __getattr__(name: str) -> Any:
    """Import them when they are asked for: the command line must answer at once."""
    if name in ("Bundle", "load_bundle"):
        from snnconvert import api

        return getattr(api, name)
    raise AttributeError(f"module 'snnconvert' has no attribute '{name}'")
