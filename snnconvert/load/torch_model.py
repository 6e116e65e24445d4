"""torch's files as ONNX: tells TorchScript, torch.export and plain pickles apart, and turns the first two into ONNX."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from snnconvert.errors import ModelError
from snnconvert.graph import Shape
from snnconvert.load.archive import Place, read_archive, write_archive
from snnconvert.load.asked import Asked
from snnconvert.load.ends import require_size
from snnconvert.load.exported_program import input_elements, read_program
from snnconvert.load.handover import Handover
from snnconvert.load.isolation import Limits, isolated
from snnconvert.load.torch_pickle import STORAGES, Global, global_names
from snnconvert.load.torchscript import read_torchscript, traced_shape

# seconds of a processor that torch may take: for any archive, for a byte of code, for a byte of weights, and for a byte
# of weights that are applied to an input of a million elements; fifteen times of what networks take on an idle machine,
# and more: others may share its cores and caches, and a slow one is no reason to refuse a network
SECONDS, A_BYTE_OF_CODE, A_BYTE, A_BYTE_ON_A_MILLION = 18, 225e-6, 150e-9, 9e-6
MILLION = 2**20  # of a larger input no more counts: the file alone says how large it is
ROOM, SIZES = 3 * 2**29, 4  # bytes that torch may take, and times the size of the archive
ZIP_MAGIC = b"PK\x03\x04"
PICKLE_MAGIC = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
OLD_PROGRAM = "serialized_exported_program.json"
# what a pickle of tensors refers to; anything else is a class of a network
TENSOR_MODULES = {"torch", "torch._utils", "torch.serialization", "collections", "_codecs", "numpy"}
EXPORT = 'torch.onnx.export(model.eval(), torch.zeros(1, 3, 32, 32), "model.onnx")'


def is_torch(content: bytes) -> bool:
    """Tell whether a file begins as torch's files do: as a zip archive or as a pickle."""
    return content.startswith((ZIP_MAGIC, *PICKLE_MAGIC))


@dataclass(frozen=True)
class TorchNetwork:
    """A file of torch that was checked: all that torch may open is ``handover``, written here."""

    path: Path
    handover: Handover
    shape: Shape | None  # of one sample; a torch.export file tells it itself
    limits: Limits | None  # on what torch does, None where the file is trusted

    def to_onnx(self) -> bytes:
        """Return the network as a serialized ONNX model, whose large weights are in ``handover``; may be called once.

        Raises:
            ModelError: torch cannot convert it (E116, E120, E122, E124).
            LimitError: torch takes too long or too much memory on it, or crashes (E501).
        """
        # here, since torch's exporters load slowly; before the limits begin
        from snnconvert.load.torch_exporters import program_to_onnx, script_to_onnx

        def work() -> bytes:
            if self.shape is None:
                return program_to_onnx(self.path, self.handover)
            return script_to_onnx(self.path, self.handover, self.shape)

        try:
            return isolated(self.path.name, work, self.limits) if self.limits else work()
        finally:
            self.handover.close()


def read_torch(path: Path, content: bytes, asked: Asked) -> TorchNetwork:
    """Check a TorchScript or torch.export file; nothing is written to disk, and nothing of ``content`` is kept.

    torch opens nothing but an archive that was written here, from members that were checked; with ``asked.trust`` it
    opens the file itself.

    Raises:
        ModelError: the file holds what no network needs (E130, E131), is a pickle (E132) or a hostile archive (E133),
            or cannot be converted (E120, E121, E122, E124).
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
        raise ModelError(
            "E130", f"{path.name}: it is nested too deeply", "export it with torch.onnx.export, and convert that file"
        ) from None
    if "data.pkl" in members:
        raise _pickled(path, members["data.pkl"])
    raise ModelError("E101", f"{path.name}: a zip archive, but none of torch", "give an .onnx, .pt or .pt2 file")


def _script(path: Path, content: bytes, members: Mapping[str, bytes], asked: Asked) -> TorchNetwork:
    kept = None if asked.trust else read_torchscript(path.name, members)
    shape = asked.input_shape or traced_shape(members) or asked.shape()
    if shape is None:
        raise ModelError("E124", f"{path.name}: the file does not tell its input shape", "--input-shape 3,224,224")
    _require_usable(path, shape)
    return TorchNetwork(path, _handover(content, kept), shape, _limits(kept, math.prod(shape)) if kept else None)


def _program(path: Path, content: bytes, members: Mapping[str, bytes], trust: bool) -> TorchNetwork:
    if OLD_PROGRAM in members:
        raise ModelError(
            "E131",
            f"{path.name}: the format of torch.export before torch 2.8, whose weights are pickled",
            "export the network again with a newer torch",
        )
    kept = None if trust else read_program(path.name, members)
    limits = _limits(kept, input_elements(kept)) if kept else None
    return TorchNetwork(path, _handover(content, kept), None, limits)


def _handover(content: bytes, members: Mapping[str, bytes] | None) -> Handover:
    """Hand over an archive of these members; the file as it is, where there are none."""
    if members is not None:
        return Handover(lambda stream: write_archive(members, stream))

    def write(stream: BinaryIO) -> list[Place]:
        stream.write(content)
        return []

    return Handover(write)


def _limits(members: Mapping[str, bytes], elements: int) -> Limits:
    """Return how long torch may compute on an archive, for an input of so many elements, and its memory."""
    size = sum(map(len, members.values()))
    code = sum(len(data) for name, data in members.items() if name.endswith((".py", ".json")))
    images = min(elements, MILLION) / MILLION
    seconds = SECONDS + A_BYTE_OF_CODE * code + (A_BYTE + A_BYTE_ON_A_MILLION * images) * size
    return Limits(seconds, ROOM + SIZES * size)


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
