"""The baseline file: everything in it that is refused, and how it is written, whole or not at all."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnconvert.errors import OutputError, SnnError, UsageError
from snnconvert.gate.baseline import digest, read_baseline, read_predictions
from snnconvert.gate.schema import Gate
from snnconvert.gate.update import check_update, write_baseline


def change(path: Path, edit: Callable[[dict], Any]) -> None:
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def entry(document: dict) -> dict:
    return document["models"][0]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda d: d.update(schema="snnconvert/baseline/2"), 'got schema "snnconvert/baseline/2"'),
        (lambda d: d.pop("schema"), "got schema null"),
        (lambda d: d.update(extra=1), "extra: unknown key"),
        (lambda d: d.update(previous="sha256:x"), "previous: .*pattern"),
        (lambda d: d.update(reason=""), "reason: "),
        (lambda d: d["models"].append(entry(d)), "models: two models have one name"),
        (lambda d: entry(d).update(name="../net"), "models.0.name: .*pattern"),
        (lambda d: entry(d)["predictions"].update(path="../x.npz"), "predictions.path: .*pattern"),
        (lambda d: entry(d)["predictions"].update(path="/etc/x.npz"), "predictions.path: .*pattern"),
        (lambda d: entry(d)["predictions"].update(path="a/../../x.npz"), "predictions.path: .*pattern"),
        (lambda d: entry(d)["predictions"].update(path="a\\..\\x"), "predictions.path: .*pattern"),
        (lambda d: entry(d)["model"].update(sha256="A" * 64), "model.sha256: .*pattern"),
        (lambda d: entry(d)["gate"].update(margin=-1), "gate.margin: .*greater than or equal to 0.000001, got '-1'"),
        (lambda d: entry(d)["gate"].update(alpha=1e-300), "gate.alpha: .*greater than or equal to 0.000001"),
        (lambda d: entry(d)["gate"].update(margin="1"), "gate.margin: .*valid number, got '1'"),
        (lambda d: entry(d)["gate"].update(alpha=0.5), "gate.alpha: "),
        (lambda d: entry(d)["gate"].update(steps=[7]), "no row of the gated step 7"),
        (lambda d: entry(d)["gate"]["rails"].update(min_acuracy=9), "rails.min_acuracy: unknown key"),
        (lambda d: entry(d)["steps"].reverse(), "the steps do not ascend"),
        (lambda d: entry(d)["steps"][0].update(correct=1001), "more answers than samples"),
        (lambda d: entry(d)["steps"][0].update(correct=None), "counts of right answers go with labels"),
        (lambda d: entry(d)["steps"][0].update(agreed=None), "not all steps know the same"),
        (lambda d: entry(d)["steps"][0].update(output_error=0.1), "not all steps know the same"),
        (lambda d: entry(d)["steps"][0].update(t=True), "steps.0.t: "),
        (lambda d: entry(d).update(steps=[]), "steps: "),
    ],
)
def test_a_baseline_that_breaks_the_schema_is_refused(baseline_file: Path, edit: Callable, reason: str) -> None:
    change(baseline_file, edit)
    with pytest.raises(UsageError, match=reason) as caught:
        read_baseline(baseline_file)
    assert (caught.value.code, caught.value.exit_status) == ("E303", 2)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no JSON document"),
        (b"\xff\xfe", "is no JSON document"),
        (b"[]", "got schema null"),
        (b'{"schema": "x", "schema": "y"}', "the key 'schema' stands there twice"),
        (b'{"schema": NaN}', "NaN is no number of JSON"),
        (b"[" * 100_000, "is nested too deep|is no JSON document"),
        (b'{"a":' * 600 + b"1" + b"}" * 600, "is nested too deep"),
    ],
)
def test_what_is_no_json_of_ours_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        read_baseline(path)


def test_what_is_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"cannot be read .*No such file") as caught:
        read_baseline(tmp_path / "none.json")
    assert caught.value.code == "E001"
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(UsageError, match="is no file"):
            read_baseline(place)
    (tmp_path / "large.json").write_bytes(b" " * 2000)
    monkeypatch.setattr("snnconvert.gate.baseline.MOST_JSON_BYTES", 1000)
    with pytest.raises(UsageError, match="has 2000 bytes, expected at most 1000"):
        read_baseline(tmp_path / "large.json")


def stored(baseline_file: Path) -> Path:
    (found,) = (baseline_file.parent / "snn-baseline").iterdir()
    return found


def read(baseline_file: Path) -> Any:
    baseline, _ = read_baseline(baseline_file)
    return read_predictions(baseline_file, baseline.models[0])


def test_changed_predictions_are_refused(baseline_file: Path) -> None:
    file = stored(baseline_file)
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(UsageError, match=r"got sha256 .*expected .* by snn-baseline.json"):
        read(baseline_file)


@pytest.mark.parametrize("edit", [lambda d: d["steps"][0].update(correct=999), lambda d: d.update(ann_correct=999)])
def test_predictions_that_do_not_give_the_counts_are_refused(baseline_file: Path, edit: Callable) -> None:
    change(baseline_file, lambda d: edit(entry(d)))
    with pytest.raises(UsageError, match="does not give the counts"):
        read(baseline_file)


@pytest.mark.parametrize("steps", [slice(1), slice(1, 2)])
def test_predictions_of_other_steps_are_refused(baseline_file: Path, steps: slice) -> None:
    change(baseline_file, lambda d: entry(d).update(steps=entry(d)["steps"][steps]))
    with pytest.raises(UsageError, match=r"got T = 8, 32, expected (8|32) by snn-baseline\.json"):
        read(baseline_file)


def test_dense_predictions_that_lack_a_step_are_refused(
    baseline_file: Path, predict: Callable, measure: Callable
) -> None:
    """Nothing is counted there that would not fit."""
    none = np.full(1000, -1)
    short = dataclasses.replace(predict(1000, {8: []}), label=none, ann=none, snn=none[:, None])
    write_baseline(baseline_file, None, [("net", measure(short), Gate())], "dense")
    change(baseline_file, lambda d: entry(d)["steps"].append({**entry(d)["steps"][0], "t": 32}))
    with pytest.raises(UsageError, match=r"got T = 8, expected 8, 32 by snn-baseline\.json"):
        read(baseline_file)


def test_predictions_behind_a_link_to_itself_are_refused(baseline_file: Path) -> None:
    file = stored(baseline_file)
    file.unlink()
    file.symlink_to(file.name)
    with pytest.raises(UsageError, match="E303"):
        read(baseline_file)


def test_predictions_that_are_none_are_refused(baseline_file: Path) -> None:
    stored(baseline_file).write_bytes(b"PK")
    change(baseline_file, lambda d: entry(d)["predictions"].update(sha256=digest(b"PK")))
    with pytest.raises(UsageError, match="is no file of predictions: "):
        read(baseline_file)


def test_predictions_behind_a_link_out_of_the_folder_are_refused(baseline_file: Path, tmp_path: Path) -> None:
    file = stored(baseline_file)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere.npz"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    with pytest.raises(UsageError, match="leads out of the folder"):
        read(baseline_file)
    elsewhere.unlink()


def test_missing_predictions_are_none(baseline_file: Path) -> None:
    assert len(read(baseline_file)) == 1000
    stored(baseline_file).unlink()
    assert read(baseline_file) is None
    change(baseline_file, lambda d: entry(d).update(predictions=None))
    assert read(baseline_file) is None


def test_an_unknown_name_is_told_with_those_that_are_known(baseline_file: Path) -> None:
    baseline, _ = read_baseline(baseline_file)
    with pytest.raises(UsageError, match="has no model 'nett'") as caught:
        baseline.entry("nett", "b.json")
    assert "did you mean 'net'?" in str(caught.value.hint)


def test_writing_chains_the_old_digest_and_keeps_the_others(
    baseline_file: Path, predict: Callable, measure: Callable
) -> None:
    old, content = read_baseline(baseline_file)
    gate = Gate(margin=0.5, steps=[8])
    write_baseline(baseline_file, (old, content), [("other", measure(predict(10)), gate)], " second ")
    new, _ = read_baseline(baseline_file)
    assert (new.previous, new.reason) == (f"sha256:{digest(content)}", "second")
    assert [each.name for each in new.models] == ["net", "other"]
    assert new.models[0] == old.models[0]
    assert new.models[1].gate == gate
    assert old.previous is None


def test_predictions_that_no_entry_names_any_more_go(baseline_file: Path, predict: Callable, measure: Callable) -> None:
    before = stored(baseline_file)
    write_baseline(baseline_file, read_baseline(baseline_file), [("net", measure(predict(10)), Gate())], "smaller")
    assert stored(baseline_file) != before
    assert len(read(baseline_file)) == 10


def victim(folder: Path, place: str) -> dict[str, str]:
    """A file at ``place``, and how a baseline would name it as its predictions."""
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_bytes(b"mine")
    return {"path": place, "sha256": digest(b"mine")}


OURS = f"snn-baseline/net-{digest(b'mine')[:8]}.npz"


@pytest.mark.parametrize("place", ["victim.py", "snn-baseline/victim.npz", OURS.replace("net-", "other-"), OURS[13:]])
def test_an_update_removes_no_file_but_its_own(
    baseline_file: Path, predict: Callable, measure: Callable, place: str
) -> None:
    named = victim(baseline_file.parent, place)
    change(baseline_file, lambda d: entry(d).update(predictions=named))
    write_baseline(baseline_file, read_baseline(baseline_file), [("net", measure(predict(10)), Gate())], "smaller")
    assert (baseline_file.parent / place).read_bytes() == b"mine"


@pytest.mark.parametrize("how", ["changed", "file", "folder", "circle"])
def test_an_update_removes_no_file_of_its_own_name_that_it_did_not_write(
    baseline_file: Path, predict: Callable, measure: Callable, how: str
) -> None:
    named = victim(baseline_file.parent, OURS)
    change(baseline_file, lambda d: entry(d).update(predictions=named))
    ours, folder = baseline_file.parent / OURS, baseline_file.parent / "snn-baseline"
    if how == "changed":
        ours.write_bytes(b"mine, changed")
    elif how == "folder":
        folder.rename(folder.with_name("elsewhere"))
        folder.symlink_to("elsewhere")
    else:
        ours.rename(folder / "elsewhere")
        ours.symlink_to("elsewhere" if how == "file" else ours.name)
    write_baseline(baseline_file, read_baseline(baseline_file), [("net", measure(predict(10)), Gate())], "smaller")
    assert os.path.lexists(ours)


def test_an_update_that_fails_removes_no_link_in_its_way(
    baseline_file: Path, predict: Callable, measure: Callable
) -> None:
    new = measure(predict(10))
    link = baseline_file.parent / f"snn-baseline/net-{digest(new.predictions.to_npz())[:8]}.npz"
    link.symlink_to("nowhere")
    with pytest.raises(OutputError, match="is there already, and is no file"):
        write_baseline(baseline_file, read_baseline(baseline_file), [("net", new, Gate())], "smaller")
    assert link.is_symlink()


def test_equal_measurements_give_equal_files(tmp_path: Path, predict: Callable, measure: Callable) -> None:
    contents = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "snn-baseline.json"
        write_baseline(path, None, [("net", measure(predict()), Gate())], "same")
        contents.append((path.read_bytes(), stored(path).name, stored(path).read_bytes()))
    assert contents[0] == contents[1]


FAULTS = [(call, at, first) for call in ("fsync", "replace") for at in (1, 2) for first in (True, False)]


@pytest.mark.parametrize(("call", "at", "first"), [*FAULTS, ("mkdir", 1, True)])
def test_whatever_fails_leaves_what_was_there(
    baseline_file: Path,
    predict: Callable,
    measure: Callable,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    at: int,
    first: bool,
) -> None:
    before = contents(baseline_file.parent)
    path, old = (baseline_file.with_name("b.json"), None) if first else (baseline_file, read_baseline(baseline_file))
    real, calls = getattr(os, call), []

    def failing(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == at:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\)") as caught:
        write_baseline(path, old, [("net", measure(predict(20)), Gate())], "again")
    assert caught.value.code == "E402"
    assert contents(baseline_file.parent) == before


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def test_what_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    refusals: list[tuple[Path, str | None, list[str], str]] = [
        (path, None, [], "--update: why?"),
        (path, "  ", [], "--update: why?"),
        (path, "x", ["a/b"], "--name: 'a/b' cannot name a folder"),
        (path, "x", ["a", "a"], "two of the networks have one name"),
        (tmp_path / ".b.json", "x", [], "--baseline: '.b' cannot name a folder"),
        (tmp_path / "none" / "b.json", "x", [], "there is no folder"),
    ]
    for place, reason, names, told in refusals:
        with pytest.raises(SnnError, match=told):
            check_update(place, reason, names)
    (tmp_path / "b").symlink_to(tmp_path.parent)
    with pytest.raises(OutputError, match="is no folder; the predictions would go there"):
        check_update(path, "x", ["net"])
