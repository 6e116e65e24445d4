"""Whether the bundles of a batch are good enough: each against a baseline, as ``snnconvert check`` compares it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from snnconvert.batch.schema import JobGate
from snnconvert.batch.store import Entry, Store
from snnconvert.checking import compared, stored
from snnconvert.errors import SnnError, UsageError
from snnconvert.gate.baseline import digest, read_baseline
from snnconvert.gate.document import judged
from snnconvert.gate.schema import Baseline

WITHOUT = "--set gate=null runs the batch without it"
Gated = Mapping[str, Any]  # what summary.json says of a job's gate


class Gates:
    """The baselines of a batch, each read once."""

    def __init__(self) -> None:
        self._read: dict[Path, tuple[Baseline, bytes]] = {}

    def check(self, entries: Iterable[Entry]) -> None:
        """Refuse gates that no result could be compared with, before any job runs.

        Raises:
            UsageError: there is no such baseline (E001); neither it nor the job has such a network or step (E303).
        """
        for entry in entries:
            planned = entry.planned
            try:
                if planned.gate is not None:
                    self._check(entry, planned.gate)
            except UsageError as problem:
                message, hint = f"{planned.place}: job '{planned.name}': gate: {problem.message}", problem.hint
                raise UsageError(problem.code, message, f"{WITHOUT}; {hint}" if hint else WITHOUT) from None

    def _check(self, entry: Entry, gate: JobGate) -> None:
        place, mine = _place(gate), entry.planned.job.convert.steps
        found = self._baseline(place)[0].entry(network_of(entry, gate), str(place))
        for t in found.gated(gate.over(found.gate)):
            for where, steps in ((str(place), [row.t for row in found.steps]), ("the job", mine)):
                if t not in steps:
                    told = ", ".join(map(str, steps))
                    raise UsageError(
                        "E303", f"{where} has no row of T = {t}, but of {told}", "gate.steps chooses others"
                    )

    def judge(self, entry: Entry, store: Store) -> Gated | None:
        """Return the verdict on a bundle with all findings, or why there is none; None where nobody asks for one.

        A verdict tells nothing of where files are; the message of an error does.
        """
        gate = entry.planned.gate
        if gate is None:
            return None
        network = network_of(entry, gate)
        try:
            place = _place(gate)
            baseline, content = self._baseline(place)
            judgement = compared(network, stored(store.bundle(entry)), baseline, place, gate.over)
        except SnnError as problem:
            return {"network": network, "verdict": None, "error": problem.document}
        return {"baseline": f"sha256:{digest(content)}", "network": network, **judged(judgement)}

    def _baseline(self, place: Path) -> tuple[Baseline, bytes]:
        if place not in self._read:
            self._read[place] = read_baseline(place)
        return self._read[place]


def network_of(entry: Entry, gate: JobGate) -> str:
    """Return the name of a job's network in the baseline: that of its model file, as ``snnconvert check`` has it."""
    return gate.name or Path(entry.planned.job.model).stem


def _place(gate: JobGate) -> Path:
    return Path(gate.baseline or "")
