"""The verbs as functions, with the command line's results and refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import snnconvert
from snnconvert.api import convert, evaluate, simulate
from snnconvert.errors import DataError, OutputError, UsageError
from snnconvert.report.manifest import MANIFEST, RUN_RECORD
from snnconvert.report.publish import publish

MODELS = Path(__file__).parents[1] / "models"


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sets")
    for name, source in (("calib", "digits_calib"), ("eval", "digits_test")):
        with np.load(MODELS / f"{source}.npz") as data:
            np.savez(folder / f"{name}.npz", images=data["images"][:40], labels=data["labels"][:40])
    return folder / "calib.npz", folder / "eval.npz"


@pytest.fixture(scope="module")
def made(sets: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> "snnconvert.Bundle":
    calib, test = sets
    out = tmp_path_factory.mktemp("made") / "net_snn"
    model = MODELS / "digits_mlp.onnx"
    return convert(model, calib=calib, eval=test, out=out, preprocess="scale=1/16", steps=[2, 4])


def samples(path: Path) -> np.ndarray:
    with np.load(path) as data:
        return (data["images"].astype(np.float32) / 16).reshape(-1, 1, 8, 8)


def test_the_engine_gives_the_accuracy_of_the_metrics(made: "snnconvert.Bundle", sets: tuple[Path, Path]) -> None:
    with np.load(sets[1]) as data:
        labels = data["labels"]
    readouts = list(made.simulate(samples(sets[1]), [2, 4]))
    rows = made.metrics["steps"]
    assert [readout.t for readout in readouts] == [2, 4]
    assert rows[-1]["accuracy"] == pytest.approx(float(np.mean(readouts[-1].estimate.argmax(1).numpy() == labels)))
    assert made.metrics == json.loads((made.path / "metrics.json").read_text())


def test_a_loaded_bundle_is_the_one_that_was_made(made: "snnconvert.Bundle", sets: tuple[Path, Path]) -> None:
    loaded = snnconvert.load_bundle(made.path)
    x = torch.from_numpy(samples(sets[1]))
    (one,), (other,) = made.simulate(x, [4]), simulate(str(made.path), x, [4])
    assert torch.equal(one.estimate, other.estimate)
    assert loaded.about["preprocess"] == made.about["preprocess"]
    assert loaded.network.schedule.steps == 4


@pytest.mark.parametrize("content", [b"{", b"[1]", b"[" * 100_000])
def test_other_metrics_are_refused(made: "snnconvert.Bundle", tmp_path: Path, content: bytes) -> None:
    files = {path.name: path.read_bytes() for path in made.path.iterdir() if path.name not in (MANIFEST, RUN_RECORD)}
    publish(tmp_path / "net_snn", files | {"metrics.json": content}, b"{}", force=False)
    with pytest.raises(OutputError, match=r"E403.*'metrics\.json' is no JSON object"):
        _ = snnconvert.load_bundle(tmp_path / "net_snn").metrics


def test_evaluation_is_that_of_the_command(made: "snnconvert.Bundle", sets: tuple[Path, Path]) -> None:
    document = evaluate(made.path, sets[1], [4])
    assert document["steps"][0]["accuracy"] == made.metrics["steps"][-1]["accuracy"]
    assert document["samples"] == 40


def test_a_bundle_is_exported(made: "snnconvert.Bundle", tmp_path: Path) -> None:
    document = made.export("onnx", tmp_path / "net.onnx", verify=True)
    assert {each["differing"] for each in document["verified"]} == {0}
    assert (tmp_path / "net.onnx").is_file()


def test_refusals_are_those_of_the_command(made: "snnconvert.Bundle", sets: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no bundle"):
        snnconvert.load_bundle(tmp_path)
    with pytest.raises(OutputError, match="exists already"):
        convert(MODELS / "digits_mlp.onnx", calib=sets[0], out=made.path, preprocess="scale=1/16", steps=[4])
    with pytest.raises(UsageError, match=r"E003.*unknown option 'stepz'"):
        convert(MODELS / "digits_mlp.onnx", calib=sets[0], out=tmp_path / "x_snn", stepz=[4])
    with pytest.raises(DataError, match=r"expected samples \(N, 1, 8, 8\), got \(40, 64\)"):
        made.simulate(samples(sets[1]).reshape(40, 64), [4])
    with pytest.raises(UsageError, match="ascending"):
        made.simulate(samples(sets[1]), [4, 2])


def test_samples_are_as_the_engine_takes_them(made: "snnconvert.Bundle", sets: tuple[Path, Path]) -> None:
    x, labels = made.samples(sets[1])
    assert np.array_equal(x, samples(sets[1]))
    with np.load(sets[1]) as data:
        assert np.array_equal(labels, data["labels"])
    evaluated, _ = made.samples()
    assert np.array_equal(evaluated, x)
    assert len(made.samples(sets[1], 7)[0]) == 7
    with pytest.raises(UsageError, match="expected at least 1, got 0"):
        made.samples(sets[1], 0)


@pytest.mark.parametrize("steps", [4, [np.int64(4)], np.array([4]), range(4, 5)])
def test_steps_are_one_or_many_of_any_kind(made: "snnconvert.Bundle", sets: tuple[Path, Path], steps: object) -> None:
    assert [readout.t for readout in made.simulate(samples(sets[1]).tolist(), steps)] == [4]
    assert [row["t"] for row in made.evaluate(sets[1], steps)["steps"]] == [4]


@pytest.mark.parametrize("steps", [2.5, [1, 2.5], "4", [[1, 2]], [True]])
def test_steps_that_are_no_whole_numbers_are_refused(
    made: "snnconvert.Bundle", sets: tuple[Path, Path], steps: object
) -> None:
    for run in (lambda: made.simulate(samples(sets[1]), steps), lambda: made.evaluate(sets[1], steps)):
        with pytest.raises(UsageError, match=r"E003.*steps: expected whole numbers, got "):
            run()


def test_options_are_those_of_the_command(sets: tuple[Path, Path], tmp_path: Path) -> None:
    bundle = convert(
        MODELS / "digits_mlp.onnx",
        calib=sets[0],
        eval=sets[1],
        out=tmp_path / "net_snn",
        preprocess="scale=1/16",
        steps=2,
        calib_samples=20,
        eval_samples=np.int64(10),
        input_shape=None,
        seed=None,
        neuron="if-multi",
        correct=[],
        set={"neuron.k": 3},
    )
    assert bundle.metrics["samples"] == 10
    assert next(iter(bundle.network.neurons.values())).k == 3  # type: ignore[attr-defined]


def test_what_is_no_path_is_told_so(sets: tuple[Path, Path], tmp_path: Path) -> None:
    for given, words in (
        ({"model": torch.nn.ReLU(), "calib": sets[0]}, "model: expected the path of a file, got a ReLU"),
        ({"model": MODELS / "digits_mlp.onnx", "calib": np.ones((4, 1, 8, 8))}, "calib: .*, got a ndarray"),
    ):
        with pytest.raises(UsageError, match=rf"E003.*{words}") as refusal:
            convert(**given, out=tmp_path / "x_snn")
        assert "writes one" in str(refusal.value.hint)


def test_samples_that_are_not_finite_are_refused(made: "snnconvert.Bundle", sets: tuple[Path, Path]) -> None:
    x = samples(sets[1])
    x[3, 0, 2, 2] = np.nan
    with pytest.raises(DataError, match=r"E204.*simulate: sample 3 is not finite"):
        made.simulate(x, 4)


def test_what_the_command_warns_of_is_a_warning(sets: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="W205: 40 of 40 evaluation samples are in the calibration set too"):
        convert(
            MODELS / "digits_mlp.onnx",
            calib=sets[0],
            eval=sets[0],
            out=tmp_path / "net_snn",
            preprocess="scale=1/16",
            steps=2,
        )


def test_options_of_export_are_told(made: "snnconvert.Bundle", tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"E003.*export: unknown option 'profile'"):
        made.export("onnx", tmp_path / "net.onnx", profile="native")
    with pytest.raises(UsageError, match=r"--approximate: no 'max-pools'"):
        made.export("onnx", tmp_path / "net.onnx", approximate="max-pools")


def test_a_readout_is_shown_in_a_line(made: "snnconvert.Bundle", sets: tuple[Path, Path]) -> None:
    (readout,) = made.simulate(samples(sets[1]), 4)
    assert repr(readout) == "Readout(t=4, samples=40, layers=2)"


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="no attribute 'load_bundles'"):
        _ = snnconvert.load_bundles


def test_a_bundle_is_shown_by_its_folder(made: "snnconvert.Bundle") -> None:
    assert repr(made) == f"Bundle({str(made.path)!r})"


def test_of_more_samples_than_the_ann_answered_nothing_is_said_of_it(made: "snnconvert.Bundle", tmp_path: Path) -> None:
    with np.load(MODELS / "digits_test.npz") as data:
        np.savez(tmp_path / "more.npz", images=data["images"][:60], labels=data["labels"][:60])
    found = made.evaluate(tmp_path / "more.npz")
    assert found["samples"] == 60
    assert found["ann"]["accuracy"] is None
    assert [(row["accuracy"] is None, row["agreement"]) for row in found["steps"]] == [(False, None)] * 2
