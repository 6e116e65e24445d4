"""Several bundles beside each other: found in folders, read back, and shown on one page."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from snnconvert.config import build_job
from snnconvert.errors import OutputError, UsageError
from snnconvert.report.comparison import Run, hard_to_compare, on_front, render_comparison, verdict
from snnconvert.report.manifest import is_bundle, read_json, read_verified
from snnconvert.report.provenance import PROVENANCE
from snnconvert.report.single_file import check_place, write_whole
from snnconvert.report.tables import steps_to
from snnconvert.yaml_document import read_document

SCHEMA = "snnconvert/report/1"
MOST = 2**26  # bytes of a file of a bundle
RUNS = 200  # on one page


def compare(folders: Sequence[Path], out: Path, force: bool) -> dict[str, Any]:
    """Write a page about the bundles in some folders; return a ``snnconvert/report/1`` document of it.

    Raises:
        UsageError: a folder holds no bundle (E001), or there are too many (E003).
        OutputError: the page cannot be written (E401, E402), a bundle is damaged (E403).
    """
    check_place(out)
    if os.path.lexists(out) and not force:
        raise OutputError("E401", f"{out}: exists already", "--force replaces it, --out FILE writes elsewhere")
    bundles = [bundle for folder in folders for bundle in bundles_in(folder)]
    if len(bundles) > RUNS:
        raise UsageError("E003", f"report: {len(bundles)} bundles, more than {RUNS}", "name fewer of them")
    names = _names(bundles)
    runs = [_run(bundle, name, out) for bundle, name in zip(bundles, names, strict=True)]
    write_whole(out, render_comparison(runs))
    listed = zip(bundles, runs, on_front(runs), strict=True)
    return {
        "schema": SCHEMA,
        "page": str(out),
        "verdict": verdict(runs),
        "notes": hard_to_compare(runs),
        "runs": [
            {"bundle": str(bundle), "name": run.name, "best": best, "steps_to_99": steps_to(run.metrics)}
            for bundle, run, best in listed
        ],
    }


def bundles_in(folder: Path) -> list[Path]:
    """Return the folder, if it is a bundle, else the bundles right in it, by name.

    Raises:
        UsageError: there is none (E001).
    """
    if is_bundle(folder):
        return [folder]
    try:
        found = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".") and is_bundle(entry)]
    except OSError as problem:
        raise UsageError("E001", f"{folder}: cannot be opened ({problem.strerror})", "give a bundle") from None
    if not found:
        raise UsageError("E001", f"{folder}: no bundle, and none in it", "give folders that convert or batch wrote")
    return found


def _names(bundles: Sequence[Path]) -> list[str]:
    """Return the shortest names that tell bundles apart: of their folders, or as much of the paths as it takes."""
    for parts in range(1, 20):
        names = ["/".join(bundle.resolve().parts[-parts:]) for bundle in bundles]
        if len(set(names)) == len(names):
            return names
    return [str(bundle) for bundle in bundles]


def _run(bundle: Path, name: str, out: Path) -> Run:
    metrics = read_json(bundle, "metrics.json")
    options = _options(bundle)
    page = bundle / "report.html"
    href = None
    if page.is_file():
        href = quote(os.path.relpath(page.resolve(), out.resolve().parent).replace(os.sep, "/"))
    chosen = [metrics.get("samples"), options.get("eval.samples"), options.get("eval.path") is None]
    seed = options.get("seed") if any(chosen[1:]) else None  # by which they were chosen
    samples = json.dumps([_samples(read_json(bundle, PROVENANCE)), *chosen, seed])
    return Run(name, href, metrics, options, samples)


def _options(bundle: Path) -> dict[str, object]:
    read_verified(bundle, "config.yaml", MOST)
    document, places = read_document(bundle / "config.yaml")
    return build_job(document, str(bundle / "config.yaml"), places).dotted()


def _samples(statement: dict[str, Any]) -> str | None:
    """Return the digest of the samples that a run was evaluated on, else of those that it was calibrated on."""
    try:
        materials = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        by_role = {each.get("annotations", {}).get("role"): each for each in materials}
        return json.dumps((by_role.get("evaluation") or by_role["calibration"])["digest"], sort_keys=True)
    except (KeyError, TypeError, AttributeError):
        return None
