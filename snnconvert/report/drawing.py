"""How pictures that matplotlib draws look, whatever the user's own is set to; and how a page holds one of pixels."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

QUIET = "#5a6675"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "snnconvert",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw so: the same bytes for the same picture."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def as_data_uri(image: "Image") -> str:
    """Return a picture as a PNG that stands in a page itself."""
    content = io.BytesIO()
    image.save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
