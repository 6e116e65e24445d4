"""The evaluator of a bundle: these very files, numpy and ONNX Runtime, the same answers, and nothing written."""

import ast
import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numba
import numpy as np
import onnx
import pytest
import torch

import snnconvert
from snnconvert.config import build_job
from snnconvert.data import Dataset, sample_ids
from snnconvert.errors import DataError, OutputError, UsageError
from snnconvert.measure import packed
from snnconvert.pipeline import run
from snnconvert.progress import Silent
from snnconvert.report import evaluator
from snnconvert.report.evaluate_script import CARRIED, evaluate_script, marker
from snnconvert.report.evaluator import Evaluator, check_classes, parse_steps
from snnconvert.report.manifest import verify_bundle

PACKAGE = Path(snnconvert.__file__).parent
MODELS = PACKAGE.parent / "models"
NETWORKS = ("digits_mlp", "digits_cnn", "digits_resnet")
STEPS = (1, 2, 4, 8, 16, 32)
SAMPLES = 100
NEEDED = ("numpy", "onnxruntime", "pillow")


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)


def convert(model: Path, calib: Path, evaluation: Path, preprocess: object, folder: Path, **more: object) -> Path:
    document = {
        "model": str(model),
        "calib": {"path": str(calib), "samples": 200},
        "eval": {"path": str(evaluation), "samples": SAMPLES},
        "preprocess": preprocess,
        "convert": {"steps": list(STEPS)},
        **more,
    }
    destination = folder / f"{model.stem}_snn"
    run(build_job(document, "test"), destination, False, "test", Silent())
    return destination


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The embedded networks, converted."""
    folder = tmp_path_factory.mktemp("bundles")
    sets = (MODELS / "digits_calib.npz", MODELS / "digits_test.npz")
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    found = {name: convert(MODELS / f"{name}.onnx", *sets, "scale=1/16", folder) for name in NETWORKS}
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])
    return found


@pytest.fixture
def bundle(bundles: dict[str, Path], tmp_path: Path) -> Path:
    """A bundle that a test may change."""
    return Path(shutil.copytree(bundles["digits_mlp"], tmp_path / "digits_mlp_snn"))


def requirements(names: tuple[str, ...]) -> set[str]:
    """Return the installed distributions that these need, these included."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            for line in metadata.requires(name) or []:
                if ";" not in line:
                    waiting.append(re.match(r"[\w.-]+", line)[0].lower())
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has numpy, ONNX Runtime and Pillow, with what these need, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in requirements(NEEDED):
        distribution = metadata.distribution(name)
        for top in {path.parts[0] for path in distribution.files or () if ".." not in path.parts}:
            source = Path(distribution.locate_file(top))
            if top == "google":  # a package of many distributions
                (site / top).mkdir(exist_ok=True)
                top, source = "google/protobuf", source / "protobuf"
            if not (site / top).exists():
                (site / top).symlink_to(source)
    return folder / "bin" / "python"


@pytest.fixture
def evaluate(bare: Path, tmp_path: Path) -> Callable[..., Answer]:
    """Run a bundle's evaluate.py in the bare Python, from a folder far from it."""
    (tmp_path / "elsewhere").mkdir()

    def call(bundle: Path, *arguments: object, python: Path = bare) -> Answer:
        done = subprocess.run(
            [python, "-W", "error", bundle / "evaluate.py", *map(str, arguments)],
            cwd=tmp_path / "elsewhere",
            env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


# what it is made of


def test_it_carries_the_files_unchanged() -> None:
    text = evaluate_script()
    places = [text.index(marker(path).encode()) for path in CARRIED] + [len(text)]
    assert places == sorted(places)
    for path, start, end in zip(CARRIED, places[:-1], places[1:], strict=True):
        content = (PACKAGE / path).read_bytes()
        carried = text[start + len(marker(path)) : end]
        assert carried.startswith(content)
        assert len(carried) == len(content) or path == CARRIED[-1]


def test_no_name_is_defined_twice() -> None:
    owner: dict[str, str] = {}
    for path in CARRIED:
        for node in ast.parse((PACKAGE / path).read_text(encoding="utf-8")).body:
            names = [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
            if isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            for name in names:
                assert owner.setdefault(name, path) == path
    assert "Evaluator" in owner


def test_carried_files_import_nothing_else() -> None:
    modules = {"snnconvert." + path.removesuffix(".py").replace("/", ".") for path in CARRIED}
    allowed = sys.stdlib_module_names | {"numpy", "PIL", "onnxruntime"}
    for path in CARRIED:
        for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed
            elif isinstance(node, ast.ImportFrom):
                assert node.module in modules or node.module.split(".")[0] in allowed


def test_bare_python_has_neither_torch_nor_the_package(bare: Path, tmp_path: Path) -> None:
    for name in ("torch", "snnconvert", "onnx", "numba", "yaml"):
        command = [bare, "-c", f"import {name}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert f"No module named '{name}'" in done.stderr


# refusals


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["--data", "gone.npz"], 2, "E001"),
        (["--steps", "0"], 2, "E003"),
        (["--steps", "1,x"], 2, "E003"),
    ],
)
def test_wrong_arguments_are_one_line(
    evaluate: Callable, bundles: dict[str, Path], arguments: list[str], status: int, code: str
) -> None:
    answer = evaluate(bundles["digits_mlp"], *arguments)
    assert (answer.status, answer.out) == (status, "")
    assert answer.err.startswith(f"error[{code}]: ")
    assert len(answer.err.splitlines()) <= 2
    answer = evaluate(bundles["digits_mlp"], "--json", *arguments)
    assert (answer.status, answer.document["error"]["code"]) == (status, code)


def test_samples_that_do_not_fit_are_refused(evaluate: Callable, bundles: dict[str, Path], tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", np.zeros((2, 9, 9, 1), np.uint8))
    np.savez(tmp_path / "label\x1b[31m.npz", images=np.zeros((2, 8, 8, 1), np.uint8), labels=[0, 10])
    for name, words in (("large.npy", "got (1, 9, 9)"), ("label\x1b[31m.npz", "label 10, but the network has 10")):
        answer = evaluate(bundles["digits_mlp"], "--data", tmp_path / name)
        assert (answer.status, answer.out) == (4, "")
        assert answer.err.startswith("error[E204]: ")
        assert words in answer.err
        assert "\x1b" not in answer.err


def damaged(bundle: Path, change: Callable[[onnx.ModelProto, dict[str, Any]], object]) -> None:
    model = onnx.load(bundle / "snn.onnx")
    about = json.loads(model.metadata_props[0].value)
    found = change(model, about)
    model.metadata_props[0].value = json.dumps(about if found is None else found)
    (bundle / "snn.onnx").write_bytes(model.SerializeToString())


CHANGES: dict[str, Callable[[onnx.ModelProto, dict[str, Any]], object]] = {
    "no metadata": lambda model, about: [],
    "no states": lambda model, about: about.pop("states") and None,
    "states of another kind": lambda model, about: about.update(states=[1]),
    "T is text": lambda model, about: about["schedule"].update(T="32"),
    "no T": lambda model, about: about["schedule"].clear(),
    "batches of nothing": lambda model, about: about.update(batch_size=0),
    "no steps": lambda model, about: about.update(steps=[]),
    "wrong preprocessing": lambda model, about: about.update(preprocess={"scale": "x"}),
    "broken fan-out": lambda model, about: next(iter(about["emitters"].values())).update(fan_out={"shape": [1]}),
    "state without its next": lambda model, about: next(iter(about["states"].values())).update(next="nothing"),
    "state of another shape": lambda model, about: next(iter(about["states"].values())).update(shape=[3]),
    "input of another shape": lambda model, about: about.update(input=[1, 4, 16]),
    "emitter that is none": lambda model, about: about.update(
        emitters={"nothing": next(iter(about["emitters"].values()))}
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_damaged_network_is_refused(bundle: Path, change: str) -> None:
    damaged(bundle, CHANGES[change])
    with pytest.raises(OutputError, match=r"E403.*snn\.onnx: damaged"):
        Evaluator(bundle).evaluate(None, (1,))


def test_damaged_files_are_one_line(evaluate: Callable, bundle: Path) -> None:
    content = (bundle / "snn.onnx").read_bytes()
    for broken in (b"", content[: len(content) // 2], b"no network"):
        (bundle / "snn.onnx").write_bytes(broken)
        answer = evaluate(bundle)
        assert (answer.status, answer.out) == (5, "")
        assert answer.err.startswith("error[E403]: ")
        assert len(answer.err.splitlines()) == 2
    (bundle / "snn.onnx").unlink()
    assert evaluate(bundle).err.startswith("error[E001]: ")


def test_damaged_predictions_are_refused(bundle: Path) -> None:
    for broken in (b"", b"PK\x03\x04", (bundle / "predictions.npz").read_bytes()[:300]):
        (bundle / "predictions.npz").write_bytes(broken)
        with pytest.raises(OutputError, match=r"E403.*predictions\.npz: damaged"):
            Evaluator(bundle).stored()


def test_predictions_of_other_samples_are_refused(bundle: Path) -> None:
    with np.load(bundle / "predictions.npz") as stored:
        arrays = dict(stored)
    for name, value in (("index", arrays["index"] + 10_000), ("index", -arrays["index"]), ("id", arrays["id"][::-1])):
        np.savez(bundle / "predictions.npz", **{**arrays, name: value})
        with pytest.raises(DataError, match=r"E201.*no longer the samples of the conversion") as refusal:
            Evaluator(bundle).evaluate(None, (1,))
        assert "--data PATH" in refusal.value.hint
    np.savez(bundle / "predictions.npz", **{**arrays, "index": arrays["index"][:3]})
    with pytest.raises(OutputError, match=r"E403.*predictions\.npz: damaged \(arrays of different lengths\)"):
        Evaluator(bundle).evaluate(None, (1,))


def test_fan_out_that_expands_beyond_its_shape_is_refused(bundle: Path) -> None:
    bomb = base64.b64encode(zlib.compress(bytes(10_000_000))).decode()

    def explode(model: onnx.ModelProto, about: dict[str, Any]) -> None:
        next(iter(about["emitters"].values()))["fan_out"] = {"shape": [0], "data": bomb}

    damaged(bundle, explode)
    with pytest.raises(OutputError, match=r"E403.*snn\.onnx: damaged"):
        Evaluator(bundle)


def test_missing_onnxruntime_is_told(bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(OutputError, match=r"E404.*onnxruntime is not installed") as refusal:
        Evaluator(bundles["digits_mlp"])
    assert refusal.value.hint == "pip install onnxruntime"


@pytest.mark.parametrize("text", ["", ",", "0", "-1", "1,,2", "1.5", "x", "1000001"])
def test_steps_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"E003.*--steps: expected time steps of at least 1"):
        parse_steps(text)


def test_steps_are_sorted_and_told_apart() -> None:
    assert parse_steps("8, 1,8,2") == (1, 2, 8)


# what it answers


def assert_same_answers(bundle: Path, evaluate: Callable, share: float) -> None:
    """Compare every answer, and the sums of spikes and SynOps, with what the conversion stored."""
    told = json.loads((bundle / "metrics.json").read_bytes())
    found = evaluate(bundle, "--json")
    assert (found.status, found.err) == (0, "")
    for mine, theirs in zip(found.document["steps"], told["steps"], strict=True):
        assert (mine["t"], mine["total_steps"]) == (theirs["t"], theirs["total_steps"])
        for name in ("spikes_per_sample", "synops_per_sample", "energy_ratio"):
            assert mine[name] == pytest.approx(theirs[name], rel=1e-3)
        for name in ("accuracy", "agreement"):
            assert mine[name] == pytest.approx(theirs[name], abs=1 - share + 1e-12)
    assert found.document["ann"] == told["ann"]
    assert found.document["macs_per_sample"] == told["macs_per_sample"]
    with np.load(bundle / "predictions.npz") as stored:
        answers = Evaluator(bundle).evaluate(None, None)[1].snn.T
        assert answers.shape == stored["snn"].shape == (told["samples"], len(told["steps"]))
        assert (answers == stored["snn"]).mean() >= share


@pytest.mark.parametrize("name", NETWORKS)
def test_answers_are_those_of_the_conversion(bundles: dict[str, Path], evaluate: Callable, name: str) -> None:
    assert_same_answers(bundles[name], evaluate, 0.999)


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_spikes_are_those_of_the_conversion_to_the_last(tmp_path: Path, weights: str) -> None:
    """Another program sums up in another order: parameters on a grid make that one sum."""
    sets = (MODELS / "digits_calib.npz", MODELS / "digits_test.npz")
    more = {"convert": {"steps": list(STEPS), "weights": weights}}
    bundle = convert(MODELS / "digits_resnet.onnx", *sets, "scale=1/16", tmp_path, **more)
    told = json.loads((bundle / "metrics.json").read_bytes())
    _, outcome = Evaluator(bundle).evaluate(None, None)
    spikes = [row["spikes_per_sample"] * told["samples"] for row in told["steps"]]
    assert np.allclose(outcome._spikes, spikes, rtol=1e-12, atol=0)
    with np.load(bundle / "predictions.npz") as stored:
        assert np.array_equal(outcome.snn.T, stored["snn"])


def test_samples_stop_where_those_of_the_conversion_do(tmp_path: Path) -> None:
    sets = (MODELS / "digits_calib.npz", MODELS / "digits_test.npz")
    more = {"convert": {"steps": list(STEPS), "stop": 4.0}}
    bundle = convert(MODELS / "digits_cnn.onnx", *sets, "scale=1/16", tmp_path, **more)
    told = json.loads((bundle / "metrics.json").read_bytes())
    document, outcome = Evaluator(bundle).evaluate(None, None)
    assert document["steps"][-1]["mean_steps"] < 20
    for mine, theirs in zip(document["steps"], told["steps"], strict=True):
        assert mine["mean_steps"] == theirs["mean_steps"]
        assert mine["spikes_per_sample"] == pytest.approx(theirs["spikes_per_sample"], rel=1e-12)
    with np.load(bundle / "predictions.npz") as stored:
        assert np.array_equal(outcome.snn.T, stored["snn"])
    assert "mean steps: 1.0, 2.0, " in evaluator.plain_table(document)


def test_answers_of_a_residual_network_on_cifar10(shared_data: Path, evaluate: Callable, tmp_path: Path) -> None:
    bundle = convert(
        shared_data / "models" / "cifar10_akamaster_resnet20.onnx",
        shared_data / "cifar10" / "calib.npz",
        shared_data / "cifar10" / "test.npz",
        "scale=1/255,mean=0.485/0.456/0.406,std=0.229/0.224/0.225",
        tmp_path,
        eval={"path": str(shared_data / "cifar10" / "test.npz"), "samples": 200},
    )
    assert_same_answers(bundle, evaluate, 0.999)


def test_json_is_a_metrics_document(bundles: dict[str, Path], evaluate: Callable) -> None:
    document = evaluate(bundles["digits_mlp"], "--json", "--steps", "2").document
    told = json.loads((bundles["digits_mlp"] / "metrics.json").read_bytes())
    assert set(document) == set(told) - {"equivalence", "diagnosis", "curves", "cost"}
    assert [set(row) for row in document["steps"]] == [set(told["steps"][0])]
    assert document["schema"] == "snnconvert/metrics/1"
    assert document["schedule"] == {"T": 32, "onset_delay": 0, "latency": 0}
    assert document["samples"] == SAMPLES


def test_table_shows_every_step(bundles: dict[str, Path], evaluate: Callable) -> None:
    lines = evaluate(bundles["digits_mlp"], "--steps", "4,1").out.splitlines()
    assert [line.split("|")[0].strip() for line in lines] == ["steps", "1", "4", lines[-1]]
    assert lines[-1].startswith(f"{SAMPLES} samples; the ANN: ")
    assert max(map(len, lines)) <= 80


def test_steps_beyond_t_are_warned_of(bundles: dict[str, Path], evaluate: Callable) -> None:
    answer = evaluate(bundles["digits_mlp"], "--steps", "32,40", "--json")
    assert answer.status == 0
    assert answer.err == "warning: calibrated for T = 32; 40 is beyond\n"
    assert [row["t"] for row in answer.document["steps"]] == [32, 40]


def test_the_first_of_the_samples_are_enough(bundles: dict[str, Path], evaluate: Callable) -> None:
    some = evaluate(bundles["digits_mlp"], "--json", "--samples", "7").document
    assert some["samples"] == 7
    assert evaluate(bundles["digits_mlp"], "--json", "--samples", "1000").document["samples"] == SAMPLES
    answer = evaluate(bundles["digits_mlp"], "--samples", "0")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err == "error[E003]: --samples: expected at least 1, got 0\n"


def test_no_sample_is_read_that_is_not_asked_for(bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[int] = []
    known = evaluator.sample_ids
    monkeypatch.setattr(evaluator, "sample_ids", lambda of, which: named.extend(which) or known(of, which))
    _, indices, ids = evaluator.Evaluator(bundles["digits_mlp"]).samples(None, 7)
    assert len(indices) == len(ids) == len(named) == 7


def test_other_samples(bundles: dict[str, Path], evaluate: Callable, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 17, (5, 8, 8, 1), np.uint8)
    np.save(tmp_path / "new.npy", images)
    document = evaluate(bundles["digits_mlp"], "--data", tmp_path / "new.npy", "--json").document
    assert (document["samples"], document["labelled"], document["ann"]) == (5, False, {"accuracy": None})
    for row in document["steps"]:
        assert row["agreement"] is row["accuracy"] is row["accuracy_ci95"] is None
    np.savez(tmp_path / "labelled.npz", images=images, labels=np.arange(5))
    document = evaluate(bundles["digits_mlp"], "--data", tmp_path / "labelled.npz", "--json").document
    assert (document["labelled"], document["ann"]) == (True, {"accuracy": None})
    assert all(row["accuracy"] is not None and row["agreement"] is None for row in document["steps"])


def test_samples_known_from_the_conversion_are_compared_with_the_ann(bundles: dict[str, Path], tmp_path: Path) -> None:
    mlp = Evaluator(bundles["digits_mlp"])
    dataset, kept, _ = mlp.samples(None)
    mixed = np.concatenate([dataset.array[kept[:3]], np.full((1, 8, 8, 1), 9, np.uint8)])
    np.save(tmp_path / "mixed.npy", mixed)
    document, outcomes = mlp.evaluate(str(tmp_path / "mixed.npy"), (32,))
    assert outcomes.ann.tolist()[-1] == -1
    assert (outcomes.ann[:3] >= 0).all()
    assert document["steps"][0]["agreement"] is None
    np.save(tmp_path / "known.npy", mixed[:3])
    document, outcomes = mlp.evaluate(str(tmp_path / "known.npy"), (32,))
    assert document["steps"][0]["agreement"] == (outcomes.snn[0] == outcomes.ann).mean()


def test_image_files(bundles: dict[str, Path], evaluate: Callable, tmp_path: Path) -> None:
    from PIL import Image

    with np.load(MODELS / "digits_test.npz") as data:
        for index, label in enumerate(data["labels"][:60]):
            path = tmp_path / "images" / str(label) / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(data["images"][index][..., 0]).save(path)
    document = evaluate(bundles["digits_mlp"], "--data", tmp_path / "images", "--json").document
    assert (document["samples"], document["labelled"]) == (60, True)
    assert document["steps"][-1]["accuracy"] > 0.8  # the folders are the network's classes, in order
    unlabelled = evaluate(bundles["digits_mlp"], "--data", tmp_path / "images" / "3", "--json").document
    assert unlabelled["labelled"] is False


def test_class_folders_that_are_not_the_classes_are_refused(
    bundles: dict[str, Path], evaluate: Callable, tmp_path: Path
) -> None:
    from PIL import Image

    for name in ("cat", "dog", "emu"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "set" / name / "a.png")
    answer = evaluate(bundles["digits_mlp"], "--data", tmp_path / "set")
    assert answer.status == 4
    first, hint = answer.err.splitlines()
    assert first == f"error[E204]: {tmp_path}/set: 3 class folders, but the network has 10 classes"
    assert "labels.csv" in hint
    for name in ("cat", "emu"):
        shutil.rmtree(tmp_path / "set" / name)
    answer = evaluate(bundles["digits_mlp"], "--data", tmp_path / "set")
    assert answer.status == 4
    assert answer.err.startswith(f"error[E201]: {tmp_path}/set: one class folder only ('dog')\nhint: ")


@pytest.mark.parametrize(
    ("labels", "folders", "classes", "code"),
    [
        ([0, 3, 1], None, 3, "E204"),
        ([0, 1], ("a", "b"), 3, "E204"),
        ([0, 1, 2], ("a", "b", "c"), 2, "E204"),
        ([0, 0], ("a",), 2, "E201"),
        ([0, 0], ("a",), 1, None),
        ([0, 0], None, 2, None),
        ([0, 1], ("a", "b"), 2, None),
        ([0, 9], ("a", "b"), None, None),
        (None, None, 3, None),
    ],
)
def test_labels_must_be_classes_of_the_network(
    labels: list[int] | None, folders: tuple[str, ...] | None, classes: int | None, code: str | None
) -> None:
    images = np.zeros((3 if labels is None else len(labels), 2, 2), np.uint8)
    dataset = Dataset("set", "any", None if labels is None else np.array(labels), folders, images)
    if code is None:
        check_classes(dataset, classes)
        return
    with pytest.raises(DataError, match=f"{code}.*set") as refusal:
        check_classes(dataset, classes)
    assert refusal.value.hint


def test_ids_are_computed_once(bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(dataset: Dataset, indices: np.ndarray) -> list[str]:
        calls.append(len(indices))
        return sample_ids(dataset, indices)

    monkeypatch.setattr(evaluator, "sample_ids", counted)
    Evaluator(bundles["digits_mlp"]).evaluate(None, (1,))
    assert calls == [SAMPLES]


def test_it_writes_nothing_and_changes_nothing(bundle: Path, evaluate: Callable) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in bundle.rglob("*")}

    before = state()
    assert evaluate(bundle, "--steps", "1").status == 0
    assert state() == before
    verify_bundle(bundle)


def test_it_runs_where_the_package_is_installed_too(bundles: dict[str, Path], evaluate: Callable) -> None:
    here = evaluate(bundles["digits_mlp"], "--steps", "1", "--json", python=Path(sys.executable))
    assert (here.status, here.err) == (0, "")
    assert here.document == evaluate(bundles["digits_mlp"], "--steps", "1", "--json").document


def test_closed_pipe_is_silent(bundles: dict[str, Path], bare: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [bare, bundles["digits_mlp"] / "evaluate.py", "--steps", "1"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_packed_map_in_the_metadata_is_what_the_network_has(bundles: dict[str, Path]) -> None:
    for emitter in Evaluator(bundles["digits_cnn"]).about["emitters"].values():
        assert emitter["kind"] in ("neuron", "pool")
    assert packed(np.full((2, 3), 7)) == packed(np.full((4, 5), 7))
    assert io.BytesIO(zlib.decompress(base64.b64decode(packed(np.full((2,), 7))["data"]))).read() == b"\7\0\0\0"
