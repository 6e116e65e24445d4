"""``snnconvert check BUNDLE --baseline FILE``: the gate for CI."""

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snnconvert.cli.messages import on_terminal, print_json, say
from snnconvert.cli.options import PLACE, Common, common_options
from snnconvert.errors import OutputError, SnnError, UsageError

if TYPE_CHECKING:
    from snnconvert.gate.measurement import Measurement
    from snnconvert.gate.schema import Baseline
    from snnconvert.gate.verdict import Judgement

    Old = tuple[Baseline, bytes] | None  # the baseline that is there, and its bytes
    Found = list[tuple[str, Measurement]]  # what every network does, with its name in the baseline

REGRESSION, UNDECIDED = 1, 6  # exit statuses
OF_A_VERDICT = ("junit", "markdown", "strict", "allow_partial")  # options that --update has no use for
EPILOG = """\b
Examples:
  snnconvert check net_snn --baseline b.json --update --reason "release 1"
  snnconvert check net_snn --baseline b.json --data test.npz --strict
  snnconvert check net.onnx --baseline b.json --calib a.npz --data b.npz
  snnconvert check *_snn --baseline b.json --junit j.xml --rail max_synops=5

\b
PASS          the drop of accuracy is proven to be under the margin,
              or no prediction of the baseline changed
FAIL          the drop is over the margin and no accident, or a rail broken
INCONCLUSIVE  these samples cannot tell; it is said how many could
Exit status 0, 1 and, for INCONCLUSIVE, 0 or with --strict 6.

\b
Rails: min_accuracy, min_agreement (percent), max_drop_vs_ann (points),
max_spikes_per_sample, max_synops (percent more than the baseline),
max_steps_to_reach={accuracy: 90, steps: 32}.
"""


@click.command("check", epilog=EPILOG)
@click.argument("targets", type=PLACE, nargs=-1, required=True, metavar="BUNDLE|MODEL...")
@click.option(
    "--baseline", required=True, type=PLACE, metavar="FILE", help="Usually snn-baseline.json, committed to git."
)
@click.option(
    "--data", type=PLACE, metavar="PATH", help="Samples to run. [of a bundle: none, its stored predictions count]"
)
@click.option(
    "--calib", type=PLACE, metavar="PATH", help="Convert a MODEL with these, and the options of the baseline."
)
@click.option("--name", metavar="NAME", help="Of the network in the baseline. [the model file's]")
@click.option("--steps", metavar="LIST", help="Time steps to gate. [the baseline's, or the largest]")
@click.option("--margin", type=float, metavar="POINTS", help="Accuracy that may be lost. [the baseline's, or 1.0]")
@click.option("--alpha", type=float, metavar="P", help="Chance of a wrong PASS or FAIL. [the baseline's, or 0.05]")
@click.option("--rail", multiple=True, metavar="NAME=VALUE", help="One more limit, such as min_accuracy=90.")
@click.option(
    "--allow-partial", is_flag=True, help="Compare the samples that are there, if some of the baseline's are not."
)
@click.option("--strict", is_flag=True, help="Exit with 6 where the verdict is INCONCLUSIVE.")
@click.option("--update", is_flag=True, help="Write the baseline, with steps, margin, alpha and rails; exits with 1.")
@click.option("--reason", metavar="TEXT", help="Why the baseline is written; stands in it.")
@click.option("--junit", type=PLACE, metavar="FILE", help="Write JUnit XML, too.")
@click.option("--markdown", type=PLACE, metavar="FILE", help="Write Markdown, too.")
@click.option("--trust-model", is_flag=True, help="Let torch open a MODEL that the scan does not pass.")
@common_options
@click.pass_context
def command(context: click.Context, /, targets: tuple[str, ...], baseline: str, **given: Any) -> int:
    """Compare networks, sample by sample, with what the baseline says that they did."""
    from snnconvert.checking import Request, measured

    common, place = context.obj, Path(baseline)
    refuse(targets, {**given, "baseline": baseline})
    try:
        old = opened(place, given)
        asked = {name: given[name] for name in ("data", "calib", "name", "trust_model")}
        request = Request(place, **asked, anew=given["update"], partial=given["allow_partial"])
        with common.progress() as progress:
            found = [measured(Path(each), old and old[0], request, progress) for each in targets]
        if old is None or given["update"]:
            return update(place, found, given, common)
        return tell(place, old, found, given, common)
    except SnnError as error:
        from snnconvert.gate import github, junit, markdown

        with suppress(OutputError):  # the error itself is what matters
            publish(junit.of_error(error), markdown.of_error(error), [github.of_error(error)], given, common)
        raise


def refuse(targets: tuple[str, ...], given: dict[str, Any]) -> None:
    """Refuse options that mean nothing together, and files that could not be written.

    Raises:
        UsageError: such options (E002, E003), a target that is not there (E001).
        OutputError: such a file (E401).
    """
    from snnconvert.report.single_file import check_place

    files = [given[name] for name in ("junit", "markdown") if given[name] is not None]
    if given["name"] is not None and len(targets) > 1:
        raise UsageError("E003", f"--name: of one network, but there are {len(targets)}", "check them one by one")
    if given["update"] and (idle := [name for name in OF_A_VERDICT if given[name]]):
        option = f"--{idle[0].replace('_', '-')}"
        raise UsageError("E003", f"--update: nothing is judged, {option} would change nothing", f"leave {option} out")
    if given["reason"] is not None and not given["update"]:
        raise UsageError("E003", "--reason: only a new baseline has one", "--update writes it")
    for target in map(Path, targets):
        if not target.exists():
            raise UsageError("E001", f"{target}: no such bundle or model", "snnconvert MODEL --calib PATH makes one")
        if target.is_dir() and given["calib"] is not None:
            raise UsageError("E003", f"--calib: {target} is a bundle, calibrated already", "--data PATH runs it")
        if not target.is_dir() and given["calib"] is None:
            raise UsageError("E002", f"{target}: a model is converted first, which needs samples", "--calib PATH")
    read = [given[name] for name in ("baseline", "data", "calib") if given[name] is not None]
    for index, file in enumerate(files):
        check_place(Path(file))
        if any(Path(file).resolve() == Path(each).resolve() for each in (*read, *targets, *files[:index])):
            raise UsageError("E003", f"{file}: stands for two files, and one would be lost", "give another name")


def opened(place: Path, given: dict[str, Any]) -> "Old":
    """Read the baseline; None where --update is to write the first one."""
    from snnconvert.gate.baseline import read_baseline
    from snnconvert.gate.update import check_update

    if given["update"]:
        check_update(place, given["reason"], [given["name"]] if given["name"] else [])
        if not os.path.lexists(place):
            return None
    return read_baseline(place)


def tell(place: Path, old: "tuple[Baseline, bytes]", found: "Found", given: dict[str, Any], common: Common) -> int:
    """Judge every network, write and print the result, and return the exit status."""
    from snnconvert.checking import compared, gate_of
    from snnconvert.gate.difference import Verdict
    from snnconvert.gate.document import overall

    judgements = [
        compared(name, each, old[0], place, lambda gate: gate_of(gate, given), given["allow_partial"])
        for name, each in found
    ]
    report(judgements, place, given, common)
    verdict = overall(judgements)
    if verdict is Verdict.FAIL:
        return REGRESSION
    return UNDECIDED if given["strict"] and verdict is Verdict.INCONCLUSIVE else 0


def report(judgements: "list[Judgement]", place: Path, given: dict[str, Any], common: Common) -> None:
    """Publish and print the result."""
    from snnconvert.gate import github
    from snnconvert.gate.document import as_document, as_text
    from snnconvert.gate.junit import as_junit
    from snnconvert.gate.markdown import as_markdown

    strict = given["strict"]
    pages = as_junit(judgements, strict), as_markdown(judgements, strict)
    publish(*pages, github.annotations(judgements, place), given, common)
    if common.as_json:
        print_json(as_document(judgements, str(place), strict))
    else:
        columns = shutil.get_terminal_size().columns if on_terminal(sys.stdout) else None
        click.echo(as_text(judgements, strict, columns))


def publish(junit: bytes, markdown: str, annotations: Sequence[str], given: dict[str, Any], common: Common) -> None:
    """Write the files that were asked for, over those of an earlier run, and tell GitHub.

    Raises:
        OutputError: a file cannot be written (E402).
    """
    from snnconvert.gate import github
    from snnconvert.report.single_file import write_whole

    if given["junit"] is not None:
        write_whole(Path(given["junit"]), junit)
    if given["markdown"] is not None:
        write_whole(Path(given["markdown"]), markdown.encode())
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            github.append_summary(Path(summary), markdown)
        except OSError as problem:
            common.progress().warn(f"GITHUB_STEP_SUMMARY: not written ({problem.strerror or problem})")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in annotations:
            say(line, False)  # GitHub reads stderr, too; stdout may be one JSON document


def update(place: Path, found: "Found", given: dict[str, Any], common: Common) -> int:
    """Write the baseline and tell what is in it now; the status says that nobody has approved it yet."""
    from snnconvert.checking import gate_of
    from snnconvert.gate.baseline import read_baseline
    from snnconvert.gate.schema import Gate
    from snnconvert.gate.update import check_update, write_baseline

    names = [name for name, _ in found]
    check_update(place, given["reason"], names)
    # read again: while the networks ran, somebody may have put others into it
    old = read_baseline(place) if os.path.lexists(place) else None
    gates = {entry.name: entry.gate for entry in old[0].models} if old else {}
    measurements = [(name, each, gate_of(gates.get(name, Gate()), given)) for name, each in found]
    baseline = write_baseline(place, old, measurements, given["reason"])
    written = [baseline.entry(name, str(place)) for name in names]
    if common.as_json:
        models = [{"name": entry.name, **entry.steps[-1].model_dump()} for entry in written]
        told = {"baseline": str(place), "reason": baseline.reason, "previous": baseline.previous, "models": models}
        print_json({"schema": "snnconvert/check/1", "verdict": "UPDATED", **told})
        return REGRESSION
    for entry in written:
        last = entry.steps[-1]
        right = "outputs that are no classes" if last.right is None else f"{last.right:,} right"
        click.echo(f"{entry.name}: {right}, of {entry.dataset.samples:,} samples at T = {last.t}")
    click.echo(f"UPDATED: commit {place} and {place.parent / place.stem}{os.sep}; status 1: no run approves itself")
    return REGRESSION
