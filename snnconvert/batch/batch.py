"""A batch as one story: expand, look what is done, check what is not, run it, sum up."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from snnconvert.batch.expansion import Planned, expand, select
from snnconvert.batch.gates import Gates
from snnconvert.batch.keys import Contents, key_document
from snnconvert.batch.schedule import FAILED, SKIPPED, Result
from snnconvert.batch.schema import Source
from snnconvert.batch.store import DONE, MISSING, Entry, State, Store, entry_of
from snnconvert.batch.summary import summarise, write_summary
from snnconvert.errors import SnnError, UsageError
from snnconvert.gate.difference import Verdict

RUNNING = "running"


@dataclass(frozen=True)
class Batch:
    """Every job of a file with its place, the ``chosen`` of them, and the ``states`` in which they were found."""

    store: Store
    entries: Sequence[Entry]
    chosen: Sequence[Entry]
    states: dict[str, State]

    @property
    def missing(self) -> list[Entry]:
        """The chosen jobs that are not done."""
        return [entry for entry in self.chosen if self.states[entry.folder].state != DONE]


def look(source: Source, only: tuple[str, ...], trust: bool) -> Batch:
    """Expand a batch file, and look which of its jobs are done; nothing is written.

    Raises:
        UsageError: anything wrong with the file, or the paths in it (E001, E002, E301, E302).
    """
    planned = expand(source, trust)
    chosen = {each.name for each in select(planned, only)}
    contents = Contents()
    entries = [entry for each in planned if (entry := _entry(each, contents, each.name in chosen))]
    store = Store(source.path.parent / source.checked.output)
    return Batch(
        store,
        entries,
        [entry for entry in entries if entry.planned.name in chosen],
        {entry.folder: store.state(entry) for entry in entries},
    )


def _entry(planned: Planned, contents: Contents, needed: bool) -> Entry | None:
    """Return the place of a job; of one that was not chosen, None where its files are missing."""
    try:
        return entry_of(planned, key_document(planned.job, contents))
    except SnnError as problem:
        if not needed:
            return None
        raise problem.at(f"{planned.place}: job '{planned.name}'") from None


def check(entries: Sequence[Entry]) -> None:
    """Refuse options that exist but do not suit each other, before any job runs.

    Raises:
        UsageError: of the first job that has such ones (E301).
    """
    from snnconvert.recipes import recipe_of  # late: torch takes seconds

    for entry in entries:
        try:
            recipe_of(entry.planned.job)
        except UsageError as problem:
            message = f"{entry.planned.place}: job '{entry.planned.name}': {problem.message}"
            raise UsageError("E301", message, problem.hint) from None


def run(source: Source, batch: Batch, heard: Callable[[Result], None]) -> dict[str, Any]:
    """Run what is missing, and write the summary; return it.

    Raises:
        UsageError: options of a job do not suit each other (E301), or its gate is on nothing (E001, E303); then nothing
            has run.
        OutputError: the output directory cannot be written (E401, E402).
    """
    gates = Gates()
    gates.check(batch.chosen)
    found: dict[str, str] = {}
    if batch.missing:
        found = {result.entry.folder: result.state for result in _run_missing(source, batch, heard)}
    batch.store.open()
    with batch.store.summary_lock():
        states = {entry.folder: found.get(entry.folder) or _state_now(batch, entry) for entry in batch.entries}
        document = summarise(batch.store, batch.entries, states, lambda entry: gates.judge(entry, batch.store))
        write_summary(batch.store.output, document)
    return document


def _state_now(batch: Batch, entry: Entry) -> str:
    """Return the state of a job that did not run here: another run of the file may have done it meanwhile."""
    before = batch.states[entry.folder].state
    return before if before == DONE else batch.store.state(entry).state


def _run_missing(source: Source, batch: Batch, heard: Callable[[Result], None]) -> list[Result]:
    from snnconvert.batch.executors import executor_of
    from snnconvert.batch.schedule import Schedule

    on_gpu = any(str(entry.key["device"]).startswith("cuda") for entry in batch.missing)
    with closing(executor_of(source.checked.execution, on_gpu)) as executor:  # it starts while options are checked
        check(batch.missing)
        batch.store.open()
        return Schedule(batch.store, executor, source.checked.execution, heard).run(batch.missing)


def failed(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the jobs of a summary that failed, or were skipped since another one had."""
    return [job for job in document["jobs"] if job["state"] in (FAILED, SKIPPED)]


def gated_out(document: dict[str, Any], batch: Batch) -> list[dict[str, Any]]:
    """Return the chosen jobs of a summary that are no longer good enough, or could not be compared."""
    chosen = {entry.folder for entry in batch.chosen}
    gated = [job for job in document["jobs"] if "gate" in job and job["bundle"] in chosen]
    return [job for job in gated if job["gate"]["verdict"] in (Verdict.FAIL.name, None)]


def status(batch: Batch) -> list[tuple[str, str, str]]:
    """Return name, state and reason of every chosen job, and of the bundles that belong to none any more."""
    rows = []
    for entry in batch.chosen:
        found = batch.states[entry.folder]
        state = found.state
        if state != DONE and batch.store.is_locked(entry):
            state = RUNNING
        elif state == MISSING and batch.store.recorded(entry.folder).get("error"):
            state = FAILED
        rows.append((entry.folder, state, found.why))
    return [*rows, *((name, "old", "of no job in the file") for name in batch.store.others([*batch.entries]))]
