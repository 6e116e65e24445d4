"""What a batch amounts to, made from bundles and baselines alone: a table, summary.json, summary.csv and summary.svg.

Nothing in it tells when or in which run a job was done: equal bundles and baselines give equal summaries. Where it was
done only errors tell, of jobs that failed or could not be compared: their messages name files.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from snnconvert.batch.expansion import told
from snnconvert.batch.schedule import FAILED
from snnconvert.batch.store import DONE, Entry, Store
from snnconvert.errors import OutputError
from snnconvert.report.quantities import ann_accuracy, count, number, percent, points, rows, suffixed
from snnconvert.report.single_file import clear_unfinished, write_whole
from snnconvert.report.trade_off import trade_off_svg

COLUMNS = (
    "t",
    "total_steps",
    "accuracy",
    "agreement",
    "output_error",
    "spikes_per_sample",
    "synops_per_sample",
    "energy_ratio",
    "mean_steps",
)
MAX_METRICS = 64 * 2**20  # bytes
JSON, CSV, SVG = "summary.json", "summary.csv", "summary.svg"


def summarise(
    store: Store, entries: Sequence[Entry], states: Mapping[str, str], judge: Callable[[Entry], Any]
) -> dict[str, Any]:
    """Return the ``snnconvert/batch/1`` document of ``states`` by folder; ``judge`` tells what the gate says, or None.

    Raises:
        OutputError: a bundle cannot be read (E403).
    """
    jobs = []
    for entry in entries:
        state = states[entry.folder]
        job: dict[str, Any] = {
            "name": entry.planned.name,
            "options": dict(entry.planned.swept),
            "bundle": entry.folder,
            "state": state,
        }
        if state == DONE:
            job["metrics"] = _metrics(store.bundle(entry))
            if (gate := judge(entry)) is not None:
                job["gate"] = gate
        elif state == FAILED:
            record = store.recorded(entry.folder)
            job |= {"status": record.get("status"), "error": record.get("error")}
        jobs.append(job)
    counts = {state: sum(job["state"] == state for job in jobs) for state in sorted({job["state"] for job in jobs})}
    return {"schema": "snnconvert/batch/1", "counts": counts, "jobs": jobs}


def write_summary(output: Path, document: Mapping[str, Any]) -> None:
    """Write the three files, each whole or not at all; they are left where they would not change.

    Nobody else may write into the directory meanwhile.

    Raises:
        OutputError: one cannot be written (E402).
    """
    text = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
    clear_unfinished(output)
    with suppress(OSError):
        if (output / JSON).read_bytes() == text and (output / CSV).is_file() and (output / SVG).is_file():
            return
    done = [job for job in document["jobs"] if job["state"] == DONE]
    write_whole(output / SVG, trade_off_svg({job["name"]: rows(job["metrics"], "steps") for job in done}))
    write_whole(output / CSV, summary_csv(document))
    write_whole(output / JSON, text)  # last: the other two are made from it


def summary_csv(document: Mapping[str, Any]) -> bytes:
    """Return a row for each job and number of time steps; a job that is not done has one row with its state."""
    swept = sorted({path for job in document["jobs"] for path in job["options"]})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["job", "bundle", "state", *swept, *COLUMNS, "ann_accuracy", "gate"])
    for job in document["jobs"]:
        chosen = [told(job["options"][path]) if path in job["options"] else "" for path in swept]
        metrics = job.get("metrics", {})
        for row in rows(metrics, "steps") or [{}]:
            values = [_cell(number(row.get(name))) for name in COLUMNS]
            last = (_cell(ann_accuracy(metrics)), gate_cell(job))
            writer.writerow([job["name"], job["bundle"], job["state"], *chosen, *values, *last])
    return text.getvalue().encode()


def table(document: Mapping[str, Any]) -> str:
    """Return a line for each job, at the largest of its time steps, or why there is none; and verdicts, if any."""
    header: tuple[str, ...] = ("job", "T", "accuracy", "vs ANN", "agreement", "SynOps")
    cells: list[tuple[str, ...]] = []
    for job in document["jobs"]:
        steps = rows(job.get("metrics", {}), "steps")
        if not steps:
            code = (job.get("error") or {}).get("code")
            cells.append((job["name"], "", job["state"] + (f": {code}" if code else ""), "", "", ""))
            continue
        row, ann = steps[-1], ann_accuracy(job["metrics"])
        accuracy = number(row.get("accuracy"))
        loss = None if accuracy is None or ann is None else accuracy - ann
        cells.append(
            (
                job["name"],
                count(number(row.get("t"))),
                percent(accuracy),
                points(loss),
                percent(number(row.get("agreement"))),
                suffixed(number(row.get("synops_per_sample"))),
            )
        )
    if any("gate" in job for job in document["jobs"]):
        header = (*header, "gate")
        cells = [(*line, gate_cell(job)) for line, job in zip(cells, document["jobs"], strict=True)]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = [" | ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in (header, *cells)]
    lines.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(lines) + "\n"


def gate_cell(job: Mapping[str, Any]) -> str:
    """Return the verdict on a job, or the code of the error that kept it from one; nothing where it is not gated."""
    gate = job.get("gate")
    if gate is None:
        return ""
    return str(gate["verdict"] or gate["error"]["code"])


def _cell(value: float | None) -> str:
    return "" if value is None else repr(int(value) if value.is_integer() else value)


def _metrics(bundle: Path) -> dict[str, Any]:
    """Return the part of a bundle's metrics.json that many jobs are compared by."""
    path = bundle / "metrics.json"
    try:
        if path.stat().st_size > MAX_METRICS:
            raise ValueError("is too large")
        document = json.loads(path.read_bytes())
        return {name: document[name] for name in ("samples", "labelled", "classes", "ann", "schedule", "steps")}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        raise OutputError("E403", f"{path}: cannot be read ({problem})", "run the batch again") from None
