"""What a set of samples holds, as one digest: equal sets have equal ones, wherever they lie."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from snnconvert.data.formats import find_idx_labels
from snnconvert.data.samples import files_below, place_of
from snnconvert.errors import DataError


def samples_digest(path: str) -> str:
    """Return the digest of all files that ``path`` (perhaps PATH:part) names, each of which is read.

    Of a folder the names of its files count, as they tell classes and order; of a file its content only, and that of
    the labels that are found beside it.

    Raises:
        UsageError: no such file or folder (E001).
        DataError: a file cannot be read (E203).
    """
    place, part = place_of(path)
    try:
        if not place.is_dir():
            labels = find_idx_labels(place)
            files = {"samples": place} if labels is None else {"samples": place, "labels": labels}
        else:
            folder = place / part if part is not None and (place / part).is_dir() else place
            files = {file.relative_to(folder).as_posix(): file for file in _files_in(folder)}
        digest = hashlib.sha256()
        for name in sorted(files, key=os.fsencode):
            digest.update(os.fsencode(name) + b"\0" + file_digest(files[name]).encode() + b"\n")
    except OSError as problem:
        raise DataError("E203", f"{path}: cannot be read: {problem.strerror or problem}") from None
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files_in(folder: Path) -> Iterator[Path]:
    """Yield what reading the samples may find: links to folders are followed where they stand for classes."""
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from files_below(entry)
        elif entry.is_file():
            yield entry
