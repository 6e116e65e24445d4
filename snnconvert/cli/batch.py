"""``snnconvert batch CONFIG.yaml``: many conversions from one file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snnconvert.cli.messages import TerminalProgress, print_json, print_path
from snnconvert.cli.options import PLACE, Common, common_options
from snnconvert.errors import OutputError

if TYPE_CHECKING:
    from snnconvert.batch.batch import Batch
    from snnconvert.batch.schedule import Result
    from snnconvert.batch.schema import Source

EPILOG = """\b
Examples:
  snnconvert batch sweep.yaml                  run it; run it again to go on
  snnconvert batch sweep.yaml --dry-run        what would run, and why
  snnconvert batch sweep.yaml --only 'resnet*' --set convert.steps=[8]
  snnconvert batch sweep.yaml --scheduler tcp://10.0.0.1:8786
  snnconvert schema batch > batch.schema.json  for an editor
"""


@click.command("batch", epilog=EPILOG)
@click.argument("config", type=PLACE)
@click.option("--only", multiple=True, metavar="GLOB", help="Only the jobs of such names; may be repeated.")
@click.option("--set", multiple=True, metavar="A.B=C", help="Set an option of all jobs, or of execution, by its path.")
@click.option("--dry-run", is_flag=True, help="Tell which jobs would run, and why; write nothing.")
@click.option("--status", is_flag=True, help="Tell how far every job is, and which bundles belong to none any more.")
@click.option("--scheduler", metavar="URL|FILE", help="Run on the workers of this Dask scheduler.")
@click.option(
    "--trust-model", is_flag=True, help="Let torch open archives that the scan does not pass; they can run code."
)
@common_options
@click.pass_context
def command(context: click.Context, /, config: str, dry_run: bool, status: bool, **given: Any) -> int:
    """Convert many networks, or one in many ways, as the YAML file CONFIG says."""
    from snnconvert.batch.batch import failed, gated_out, look

    common: Common = context.obj
    cluster = () if given["scheduler"] is None else (f"execution.scheduler={json.dumps(given['scheduler'])}",)
    source = read(Path(config), (*given["set"], *cluster))
    batch = look(source, given["only"], given["trust_model"])
    if dry_run or status:
        return tell(batch, dry_run, common)
    with common.progress() as progress:
        document = run(source, batch, progress)
        tell_gates(document, batch, progress)
    report(document, batch, common)
    return failure_status(failed(document)) or int(bool(gated_out(document, batch)))


def read(config: Path, assignments: tuple[str, ...]) -> "Source":
    """Read the file."""
    from snnconvert.batch.schema import read_batch

    return read_batch(config, assignments)


def run(source: "Source", batch: "Batch", progress: TerminalProgress) -> dict[str, Any]:
    """Run what is missing, telling of each job as it ends."""
    from snnconvert.batch.batch import run as run_batch

    done, total = len(batch.chosen) - len(batch.missing), len(batch.chosen)

    def heard(result: "Result") -> None:
        nonlocal done
        done += 1
        progress.note(f"{done} of {total}: {line(result)}")
        if result.outcome is not None and result.outcome.hint and result.outcome.status:
            progress.note(f"hint: {result.outcome.hint}")

    if done:
        progress.note(f"{done} of {total} jobs are done already")
    try:
        return run_batch(source, batch, heard)
    except KeyboardInterrupt:
        progress.note(f"{done} of {total} jobs have ended: the same command goes on from here")
        raise


def tell_gates(document: dict[str, Any], batch: "Batch", progress: TerminalProgress) -> None:
    """Tell of every chosen job that did not pass its gate, and why."""
    chosen = {entry.folder for entry in batch.chosen}
    for job in document["jobs"]:
        gate = job.get("gate", {}) if job["bundle"] in chosen else {}
        if error := gate.get("error"):
            progress.warn(f"{job['name']}: gate: error[{error['code']}]: {error['message']}")
            progress.note(f"hint: {error['hint'] or 'see docs/ci.md'}")
        for finding in gate.get("findings", []):
            if finding["verdict"] != "PASS":
                at = "" if finding["t"] is None else f" at T = {finding['t']}"
                progress.warn(f"{job['name']}: {finding['verdict']}: {finding['rail']}{at}: {finding['message']}")


def line(result: "Result") -> str:
    """Tell in one line how a job ended."""
    name, outcome = result.entry.folder, result.outcome
    if outcome is None:
        return f"{name}: {'done by another run' if result.cached else result.state}"
    if outcome.status == 0:
        return f"{name}: done in {outcome.seconds:.1f} s"
    return f"{name}: failed: error[{outcome.code}]: {outcome.message}"


def tell(batch: "Batch", dry_run: bool, common: Common) -> int:
    """Print what would be done, or what is; nothing is written."""
    from snnconvert.batch.batch import check, status
    from snnconvert.batch.gates import Gates

    rows = status(batch)
    if dry_run:
        Gates().check(batch.chosen)
        check(batch.missing)
        rows = [(name, "cached" if state == "done" else "run", why) for name, state, why in rows if state != "old"]
    if common.as_json:
        jobs = [{"bundle": name, "state": state, "why": why} for name, state, why in rows]
        print_json({"schema": "snnconvert/batch-status/1", "jobs": jobs})
        return 0
    width = max(len(name) for name, _, _ in rows)
    for name, state, why in rows:
        click.echo(f"{name:<{width}}  {state:<7}  {why}".rstrip())
    return 0


def report(document: dict[str, Any], batch: "Batch", common: Common) -> None:
    """Print the table and where the rest is, or one JSON document."""
    from snnconvert.batch.summary import table

    if common.as_json:
        print_json(document)
        return
    click.echo(table(document), nl=False)
    common.progress().note(f"snnconvert report {batch.store.output} shows the runs beside each other")
    print_path(str(batch.store.output / "summary.svg"))


def failure_status(jobs: list[dict[str, Any]]) -> int:
    """Return the exit status: 5 where a job could not write its bundle, as that is no fault of the job."""
    codes = {(job.get("error") or {}).get("code") for job in jobs}
    return OutputError.exit_status if "E402" in codes else 1 if jobs else 0
