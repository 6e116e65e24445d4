"""``provenance.json``: what a bundle was made of, as an in-toto Statement about its files with SLSA's predicate.

No time and no host stands in it: equal inputs at equal paths, with equal options and packages, give equal bytes. (Paths
stand in the files that it is about.) It is not signed; who signs it (``cosign attest-blob``, ``gh attestation``)
vouches for all files of the bundle by their digests.

Sources: https://in-toto.io/Statement/v1, https://slsa.dev/provenance/v1.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from snnconvert import __version__
from snnconvert.errors import OutputError, first_line
from snnconvert.report.manifest import read_manifest
from snnconvert.report.text import printable

PROVENANCE = "provenance.json"
STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
BUILDER, BUILD = "urn:snnconvert", "urn:snnconvert:convert:1"
PACKAGES = ("torch", "numpy", "onnxruntime", "onnx", "onnxscript", "numba", "pillow")
CONTENTS = "snnconvertContents"  # sha256 over names and sha256 of the files of a set, not over the bytes of one file
MOST = 2**24  # bytes


@cache
def versions() -> dict[str, str]:
    """Return the versions of the packages whose numbers end up in a result."""
    found = {"snnconvert": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def material(role: str, name: str, digests: Mapping[str, str]) -> dict[str, Any]:
    """Return a resource descriptor of an input: its name, its digests, and what it was used for."""
    return {"name": name, "digest": dict(digests), "annotations": {"role": role}}


def provenance_bytes(
    files: Mapping[str, bytes], options: Mapping[str, object], device: str, inputs: Sequence[Mapping[str, Any]]
) -> bytes:
    """Write the statement about these files, made with these options from these inputs, on ``cpu`` or ``cuda:0``."""
    packages = [
        {"name": name, "uri": f"pkg:pypi/{name}@{quote(number)}"}
        for name, number in versions().items()
        if number != "none"
    ]
    statement = {
        "_type": STATEMENT,
        "subject": [
            {"name": name, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}
            for name, content in sorted(files.items())
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD,
                "externalParameters": dict(options),
                "internalParameters": {"device": device},
                "resolvedDependencies": [*inputs, *packages],
            },
            "runDetails": {"builder": {"id": BUILDER, "version": {"snnconvert": __version__}}},
        },
    }
    return (json.dumps(statement, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def verify_provenance(bundle: Path) -> None:
    """Check that the statement of a bundle whose manifest holds is about its files, all of them and no others.

    Raises:
        OutputError: there is none, or it is about something else (E403).
    """
    manifest = read_manifest(bundle)
    if PROVENANCE not in manifest:
        raise _wrong(bundle, "is missing")
    try:
        if manifest[PROVENANCE].size > MOST:
            raise ValueError("too large")
        statement = json.loads((bundle / PROVENANCE).read_bytes())
        kinds = (statement["_type"], statement["predicateType"])
        found = [(str(each["name"]), str(each["digest"]["sha256"])) for each in statement["subject"]]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as problem:
        raise _wrong(bundle, f"is no statement ({printable(first_line(problem), 100)})") from None
    if kinds != (STATEMENT, PREDICATE):
        raise _wrong(bundle, f"got {printable(str(kinds), 200)}, expected {(STATEMENT, PREDICATE)}")
    expected = {(name, entry.sha256) for name, entry in manifest.items() if name != PROVENANCE}
    if set(found) != expected or len(found) != len(expected):
        name = min({name for name, _ in set(found) ^ expected}, default="twice")
        raise _wrong(bundle, f"is not about the files of this bundle ('{printable(name, 100)}')")


def contents_of(bundle: Path, role: str) -> str | None:
    """Return the digest of the samples that had a role (``calibration``, ``evaluation``) in a bundle that was verified.

    None where it does not tell.
    """
    try:
        inputs = json.loads((bundle / PROVENANCE).read_bytes())["predicate"]["buildDefinition"]["resolvedDependencies"]
        return next(
            (each["digest"][CONTENTS] for each in inputs if each.get("annotations", {}).get("role") == role), None
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _wrong(bundle: Path, what: str) -> OutputError:
    message = f"{printable(str(bundle), 400)}: file '{PROVENANCE}' {what}"
    return OutputError("E403", message, "the bundle is not as it was written: make it again")
