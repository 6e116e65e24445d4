"""NIR graphs as the bytes of a file, and back."""

import io
from typing import Any

from snnconvert.errors import ModelError, first_line
from snnconvert.export.nir.writer import nir_package


def nir_bytes(graph: Any) -> bytes:
    """Return a graph as an HDF5 file; a ``v_reset`` of 0 is left out: readers before nir 1.0.6 know no such field."""
    import h5py

    nir, buffer = nir_package(), io.BytesIO()
    nir.write(buffer, graph)
    with h5py.File(buffer, "r+") as file:
        for node in file["node"]["nodes"].values():
            if "v_reset" in node and not node["v_reset"][()].any():
                del node["v_reset"]
    return buffer.getvalue()


def read_nir(content: bytes, where: str, checked: bool = True) -> Any:
    """Return the graph that the bytes of a file hold; ``checked`` compares the types of what its edges connect.

    Raises:
        ModelError: they hold none (E127).
        OutputError: the package nir is not installed (E404).
    """
    nir = nir_package()
    try:
        return nir.read(io.BytesIO(content), type_check=checked)
    except Exception as problem:  # noqa: BLE001 - h5py and nir have no common base
        raise ModelError("E127", f"{where}: no NIR graph ({first_line(problem)})", "export it again") from None
