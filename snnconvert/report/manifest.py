"""``manifest.json``: what a bundle consists of. It is written last, so that its presence means complete.

{"files": {"snn.onnx": {"sha256": "...", "size": 1234}, ...}, "schema": "snnconvert/manifest/1"}
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnconvert.errors import InternalError, OutputError, UsageError
from snnconvert.report.text import printable

MANIFEST = "manifest.json"
RUN_RECORD = "run.json"
SCHEMA = "snnconvert/manifest/1"

_FAMILY = "snnconvert/manifest/"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_MOST_JSON = 2**26  # bytes
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_BYTES = 16 * 2**20  # a manifest is a few kilobytes: a larger file is not read into memory


@dataclass(frozen=True)
class ManifestEntry:
    """One file of a bundle: its size in bytes and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


def manifest_bytes(files: Mapping[str, bytes]) -> bytes:
    """Write the manifest of these files; InternalError E901 for a name that a bundle cannot hold."""
    for name in files:
        if name in (MANIFEST, RUN_RECORD) or not _NAME.fullmatch(name):
            raise InternalError("E901", f"a bundle cannot hold a file named {printable(repr(name))}")
    entries = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    document = {"schema": SCHEMA, "files": entries}
    return (json.dumps(document, sort_keys=True, indent=2) + "\n").encode()


def is_bundle(path: Path) -> bool:
    """Tell whether the directory holds a manifest of ours, whatever its version."""
    try:
        return str(_document(path).get("schema", "")).startswith(_FAMILY)
    except (UsageError, OutputError):
        return False


def read_manifest(path: Path) -> dict[str, ManifestEntry]:
    """Return the files that the bundle should have; UsageError E001 if it is no bundle, OutputError E403 if damaged."""
    document = _document(path)
    schema = document.get("schema")
    if not isinstance(schema, str) or not schema.startswith(_FAMILY):
        raise UsageError("E001", f"{printable(str(path), 400)}: its manifest.json was not written by snnconvert")
    if schema != SCHEMA:
        raise UsageError(
            "E001",
            f"{printable(str(path), 400)}: got manifest schema '{printable(schema)}', expected '{SCHEMA}'",
            "the bundle is from another version of snnconvert: use that one",
        )
    files = document.get("files")
    if not isinstance(files, dict):
        raise _damaged(path, MANIFEST, "lists no files")
    return {name: _entry(path, name, entry) for name, entry in sorted(files.items())}


def verify_bundle(path: Path) -> None:
    """Check that every file is there, unchanged, and that there is no other.

    Raises OutputError E403 naming the first file that is missing, changed or extra, and UsageError E001 if ``path`` is
    no bundle. ``run.json`` is not checked: it differs in every run.
    """
    for name, entry in (manifest := read_manifest(path)).items():
        _verify_file(path, name, entry)
    try:
        present = sorted(os.listdir(path))  # noqa: PTH208 - names are wanted, and str keeps undecodable ones
    except OSError as error:
        raise _damaged(path, ".", _reason(error)) from error
    for name in present:
        if name not in manifest and name not in (MANIFEST, RUN_RECORD):
            raise _damaged(path, name, "is not in the manifest")


def read_json(path: Path, name: str) -> dict[str, Any]:
    """Return a JSON object that a bundle holds.

    Raises:
        UsageError: ``path`` is no bundle (E001).
        OutputError: the file is missing, changed, too large or no JSON object (E403).
    """
    try:
        return dict(json.loads(read_verified(path, name, _MOST_JSON)))
    except (ValueError, TypeError, RecursionError):
        raise _damaged(path, name, "is no JSON object") from None


def read_verified(path: Path, name: str, limit: int) -> bytes:
    """Return one file of a bundle, where it is what the manifest says and has at most ``limit`` bytes.

    Raises:
        UsageError: ``path`` is no bundle (E001).
        OutputError: the file is not in the manifest, missing, changed or larger (E403).
    """
    entry = read_manifest(path).get(name)
    if entry is None:
        raise _damaged(path, name, "is not in the manifest")
    if entry.size > limit:
        raise _damaged(path, name, f"has {entry.size} bytes, more than {limit}")
    _verify_file(path, name, entry)
    try:
        with (path / name).open("rb") as stream:
            content = stream.read(entry.size + 1)
    except OSError as error:
        raise _damaged(path, name, _reason(error)) from error
    if hashlib.sha256(content).hexdigest() != entry.sha256:  # changed since it was verified
        raise _damaged(path, name, "has changed")
    return content


def _verify_file(path: Path, name: str, entry: ManifestEntry) -> None:
    file = path / name
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever, a link may lead anywhere
            raise _damaged(path, name, "is not a regular file")
        if status.st_size != entry.size:
            raise _damaged(path, name, f"has {status.st_size} bytes, expected {entry.size}")
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise _damaged(path, name, "is missing") from error
    except OSError as error:
        raise _damaged(path, name, _reason(error)) from error
    if digest != entry.sha256:
        raise _damaged(path, name, f"has changed: got sha256 {digest[:16]}…, expected {entry.sha256[:16]}…")


def _document(path: Path) -> dict[str, Any]:
    shown, file = printable(str(path), 400), path / MANIFEST
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            raise UsageError("E001", f"{shown}: no bundle: its manifest.json is no file of ours")
        document = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "no bundle: it has no manifest.json" if path.is_dir() else "no such directory"
        raise UsageError("E001", f"{shown}: {what}", "name a directory that snnconvert wrote") from error
    except (OSError, ValueError) as error:
        reason = _reason(error) if isinstance(error, OSError) else "is no JSON document"
        raise _damaged(path, MANIFEST, reason) from error
    except RecursionError as error:
        raise _damaged(path, MANIFEST, "is nested too deep") from error
    if not isinstance(document, dict):
        raise _damaged(path, MANIFEST, "is no JSON object")
    return document


def _entry(path: Path, name: str, entry: object) -> ManifestEntry:
    if _NAME.fullmatch(name) and name not in (MANIFEST, RUN_RECORD) and isinstance(entry, dict):  # no path leads out
        octets, digest = entry.get("size"), entry.get("sha256")
        if type(octets) is int and isinstance(digest, str) and _SHA256.fullmatch(digest):
            return ManifestEntry(octets, digest)
    raise _damaged(path, MANIFEST, f"has a wrong entry for {printable(repr(name))}")


def _damaged(path: Path, name: str, what: str) -> OutputError:
    message = f"{printable(str(path), 400)}: file '{printable(name)}' {what}"
    return OutputError("E403", message, "the bundle is not as it was written: make it again")


def _reason(error: OSError) -> str:
    return f"cannot be read: {error.strerror or error}"
