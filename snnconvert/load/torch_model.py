"""torch's files as ONNX: tells TorchScript, torch.export and plain pickles apart, and turns the first two into ONNX."""

from collections.abc import Mapping
from pathlib import Path

from snnconvert.errors import ModelError
from snnconvert.graph import Shape
from snnconvert.load.archive import read_archive
from snnconvert.load.asked import Asked
from snnconvert.load.ends import require_size
from snnconvert.load.exported_program import read_program
from snnconvert.load.isolation import Limits, isolated
from snnconvert.load.torch_pickle import STORAGES, Global, global_names
from snnconvert.load.torchscript import read_torchscript, traced_shape

SECONDS, BYTES_A_SECOND = 60, 2**21  # that torch may take on an archive, and what it does in one of them
ROOM, SIZES = 2**32, 8  # bytes that torch may take, and times the size of the archive
ZIP_MAGIC = b"PK\x03\x04"
PICKLE_MAGIC = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
OLD_PROGRAM = "serialized_exported_program.json"
# what a pickle of tensors refers to; anything else is a class of a network
TENSOR_MODULES = {"torch", "torch._utils", "torch.serialization", "collections", "_codecs", "numpy"}
EXPORT = 'torch.onnx.export(model.eval(), torch.zeros(1, 3, 32, 32), "model.onnx")'


def is_torch(content: bytes) -> bool:
    """Tell whether a file begins as torch's files do: as a zip archive or as a pickle."""
    return content.startswith((ZIP_MAGIC, *PICKLE_MAGIC))


def torch_to_onnx(path: Path, content: bytes, asked: Asked) -> bytes:
    """Return the network of a TorchScript or torch.export file as a serialized ONNX model.

    torch opens nothing but an archive that was written here, from members that were checked; with ``asked.trust`` it
    opens the file itself. Nothing is written to disk.

    Raises:
        ModelError: the file holds what no network needs (E130, E131), is a pickle (E132) or a hostile archive (E133),
            or cannot be converted (E116, E120, E121, E122, E124).
        LimitError: torch takes too long or too much memory on it, or crashes (E501).
    """
    if not content.startswith(ZIP_MAGIC):
        raise _pickled(path, content)
    members = read_archive(path, content)
    try:
        if "archive_format" in members or OLD_PROGRAM in members:
            return _program(path, content, members, asked.trust)
        if "constants.pkl" in members or any(name.startswith("code/") for name in members):
            return _script(path, content, members, asked)
    except RecursionError:
        raise ModelError("E130", f"{path.name}: it is nested too deeply") from None
    if "data.pkl" in members:
        raise _pickled(path, members["data.pkl"])
    raise ModelError("E101", f"{path.name}: a zip archive, but none of torch", "give an .onnx, .pt or .pt2 file")


def _script(path: Path, content: bytes, members: Mapping[str, bytes], asked: Asked) -> bytes:
    archive = content if asked.trust else read_torchscript(path.name, members)
    shape = asked.input_shape or traced_shape(members) or asked.shape()
    if shape is None:
        raise ModelError("E124", f"{path.name}: the file does not tell its input shape", "--input-shape 3,224,224")
    _require_usable(path, shape)

    def work() -> bytes:
        from snnconvert.load.torch_exporters import script_to_onnx  # here, since torch's exporters load slowly

        return script_to_onnx(path, archive, shape)

    return work() if asked.trust else isolated(path.name, work, _limits(archive))


def _program(path: Path, content: bytes, members: Mapping[str, bytes], trust: bool) -> bytes:
    if OLD_PROGRAM in members:
        raise ModelError(
            "E131",
            f"{path.name}: the format of torch.export before torch 2.8, whose weights are pickled",
            "export the network again with a newer torch",
        )
    archive = content if trust else read_program(path.name, members)

    def work() -> bytes:
        from snnconvert.load.torch_exporters import program_to_onnx  # as above

        return program_to_onnx(path, archive)

    return work() if trust else isolated(path.name, work, _limits(archive))


def _limits(archive: bytes) -> Limits:
    """Return how long torch may take for an archive, and how much memory."""
    return Limits(SECONDS + len(archive) / BYTES_A_SECOND, ROOM + SIZES * len(archive))


def _require_usable(path: Path, shape: Shape) -> None:
    if any(size < 1 for size in shape):
        raise ModelError("E124", f"{path.name}: input shape {shape}", "--input-shape 3,224,224")
    require_size(f"{path.name}: the input", shape, None)


def _pickled(path: Path, content: bytes) -> ModelError:
    """Return the refusal of what torch.save wrote, and how to export it."""
    if all(map(_is_of_tensors, global_names(content))):
        return ModelError(
            "E132",
            f"{path.name}: weights only (a state_dict), without the network that they belong to",
            f"in Python: model = Net(); model.load_state_dict(torch.load({path.name!r})); {EXPORT}",
        )
    return ModelError(
        "E132",
        f"{path.name}: a pickle of Python objects; opening it would run code of its choice",
        f"in Python, if you know who made it: model = torch.load({path.name!r}, weights_only=False); {EXPORT}",
    )


def _is_of_tensors(name: Global) -> bool:
    """Tell whether a name occurs in pickles of tensors alone."""
    if name.module == "torch":
        return name.name in STORAGES or name.name.islower() or name.name == "Size"
    return name.module in TENSOR_MODULES
