"""The main job: what it stores holds, what does not hold is noticed, and nothing is written then."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from PIL import Image

from snnconvert import pipeline
from snnconvert.bundle import bundle_files, materials
from snnconvert.config import build_job
from snnconvert.convert import recipe
from snnconvert.errors import DataError, InternalError, LimitError, ModelError, OutputError, UsageError
from snnconvert.graph import Graph, Pass
from snnconvert.operators.linear import Linear
from snnconvert.pipeline import choose_device, convert, evaluate, interpret, run
from snnconvert.progress import Progress, Silent
from snnconvert.report.evaluator import Evaluator
from snnconvert.report.manifest import read_manifest, verify_bundle
from snnconvert.report.provenance import verify_provenance
from snnconvert.simulate import Simulator

MODELS = Path(__file__).parents[1] / "models"
CPU = torch.device("cpu")
NETWORKS = ("digits_mlp", "digits_cnn", "digits_resnet")
KEYS = {
    "diagnosis",
    "cost",
    "curves",
    "schema",
    "samples",
    "classes",
    "labelled",
    "ann",
    "schedule",
    "steps",
    "layers",
    "macs_per_sample",
    "equivalence",
}
ROW = {
    "t",
    "total_steps",
    "accuracy",
    "accuracy_ci95",
    "agreement",
    "output_error",
    "spikes_per_sample",
    "synops_per_sample",
    "energy_ratio",
}
LAYER = {"name", "neurons", "scale", "rate", "rate_error", "clipped", "dead"}
FILES = {
    "snn.onnx",
    "evaluate.py",
    "metrics.json",
    "curve.csv",
    "predictions.npz",
    "calibration.json",
    "config.yaml",
    "report.html",
    "provenance.json",
}


class Told(Progress):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.details: list[str] = []
        self.stages: dict[str, list[int]] = {}

    def stage(self, name: str, total: int) -> None:
        self.stages[name] = [total, 0]

    def advance(self, samples: int) -> None:
        self.stages[[*self.stages][-1]][1] += samples

    def note(self, text: str) -> None:
        self.notes.append(text)

    def detail(self, text: str) -> None:
        self.details.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def document(name: str = "digits_mlp", calib: int = 40, samples: int = 24, steps: tuple[int, ...] = (1, 4)):
    return {
        "model": str(MODELS / f"{name}.onnx"),
        "calib": {"path": str(MODELS / "digits_calib.npz"), "samples": calib},
        "eval": {"path": str(MODELS / "digits_test.npz"), "samples": samples},
        "preprocess": "scale=1/16",
        "convert": {"steps": list(steps)},
    }


def converted(changes: dict[str, Any] | None = None, progress: Progress | None = None, **settings: Any):
    job = build_job({**document(**settings), **(changes or {})}, "test")
    conversion = convert(job, CPU, progress or Silent())
    outcomes = evaluate(conversion, CPU, progress or Silent())
    interpret(conversion, outcomes, CPU, progress or Silent())
    return conversion, outcomes


# what does not hold is noticed


class Broken(Pass):
    """Doubles the weights of the first linear layer."""

    name = "a broken pass"

    def run(self, graph: Graph) -> Graph:
        return doubled(graph)


def doubled(graph: Graph) -> Graph:
    nodes = list(graph.nodes)
    at = next(index for index, node in enumerate(nodes) if isinstance(node.operator, Linear))
    operator = dataclasses.replace(nodes[at].operator, weight=2 * nodes[at].operator.weight)
    nodes[at] = dataclasses.replace(nodes[at], operator=operator)
    return graph.with_nodes(nodes, graph.output)


def test_broken_pass_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PASSES", [*pipeline.PASSES, Broken()])
    with pytest.raises(InternalError, match=r"E910.*a broken pass differs from loaded network by .* of the output"):
        converted()


def test_wrong_reading_of_the_file_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    load = pipeline.load_model

    def misread(*arguments):
        loaded = load(*arguments)
        return dataclasses.replace(loaded, graph=doubled(loaded.graph))

    monkeypatch.setattr(pipeline, "load_model", misread)
    with pytest.raises(InternalError, match=r"E910.*loaded network differs from ONNX Runtime"):
        converted()


def test_wrong_scale_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    rescale = recipe.normal_form

    def misscale(graph: Graph, scales: Any):
        normal = rescale(graph, scales)
        return dataclasses.replace(normal, graph=doubled(normal.graph))

    monkeypatch.setattr(recipe, "normal_form", misscale)
    with pytest.raises(InternalError, match=r"E910.*normal form as an ANN differs from folded network"):
        converted()


def test_simulation_that_is_not_finite_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate = Simulator.run

    def explode(self: Simulator, x: torch.Tensor, steps: Any, stop_lead: float | None):
        for readout in simulate(self, x, steps, stop_lead):
            readout.output[0, 0] = torch.nan
            yield readout

    monkeypatch.setattr(Simulator, "run", explode)
    with pytest.raises(InternalError, match=r"E911.*NaN or infinity at step 1"):
        converted()


def test_activations_that_overflow_are_refused(save_onnx: Callable, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "w"], ["c"]),
    ]
    model = save_onnx(nodes, {"w": np.full((4, 4), 1e30, np.float32)}, (4,))
    np.save(tmp_path / "x.npy", np.arange(1, 25, dtype=np.float32).reshape(6, 4))
    with pytest.raises(ModelError, match=r"E117"):
        convert(build_job({"model": str(model), "calib": {"path": str(tmp_path / "x.npy")}}, "test"), CPU, Silent())


# resources, and nothing is written


@pytest.mark.parametrize(
    "problem",
    [
        MemoryError("Unable to allocate 728. TiB"),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."),
    ],
    ids=lambda problem: type(problem).__name__,
)
@pytest.mark.parametrize("where", ["convert", "evaluate", "bundle_files"])
def test_memory_that_runs_out_is_a_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, problem: Exception, where: str
) -> None:
    def greedy(*_: object) -> None:
        raise problem

    monkeypatch.setattr(pipeline, where, greedy)
    with pytest.raises(LimitError, match=r"E501.*out of memory \(.*[Aa]llocate|CUDA") as refusal:
        run(build_job(document(samples=4, steps=(1,)), "test"), tmp_path / "x_snn", False, "test", Silent())
    assert refusal.value.hint == pipeline.MEMORY_HINT
    assert refusal.value.exit_status == 7
    assert list(tmp_path.iterdir()) == []


def test_another_runtime_error_stays_a_bug(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def wrong(*_: object) -> None:
        raise RuntimeError("size mismatch")

    monkeypatch.setattr(pipeline, "evaluate", wrong)
    with pytest.raises(RuntimeError, match="size mismatch"):
        run(build_job(document(), "test"), tmp_path / "x_snn", False, "test", Silent())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("tpu", UsageError, r"E003.*unknown device 'tpu'"),
        ("cuda:99", OutputError, r"E404.*cuda:99 is not here"),
    ],
)
def test_device_that_is_not_here_is_refused(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        choose_device(name)


def test_devices() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type in ("cpu", "cuda")


def test_destination_is_looked_at_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pipeline, "load_model", None)
    (tmp_path / "x_snn").mkdir()
    with pytest.raises(OutputError, match=r"E401.*is no bundle"):
        run(build_job(document(), "test"), tmp_path / "x_snn", True, "test", Silent())


def test_destination_among_the_samples_is_refused_before_calibration(tmp_path: Path) -> None:
    for name in ("0", "1"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "set" / name / "a.png")
    progress = Told()
    for role in ("calib", "eval"):
        job = build_job({**document(), role: {"path": str(tmp_path / "set")}}, "test")
        with pytest.raises(OutputError, match=r"E401.*lies among the samples of"):
            run(job, tmp_path / "set" / "deep" / "x_snn", False, "test", progress)
    assert progress.stages == {}


# samples


def test_samples_that_are_in_both_sets_are_warned_of() -> None:
    progress = Told()
    same = {"path": str(MODELS / "digits_calib.npz")}
    conversion, _ = converted({"calib": {**same, "samples": 40}, "eval": {**same, "samples": 40}}, progress)
    assert progress.warnings == ["W205: 40 of 40 evaluation samples are in the calibration set too"]
    assert conversion.warnings == progress.warnings
    progress = Told()
    converted({}, progress)
    assert progress.warnings == []


def test_one_labelled_set_is_split() -> None:
    progress = Told()
    changes = {"calib": {"path": str(MODELS / "digits_test.npz"), "samples": 50}, "eval": {"samples": 30}}
    conversion, _ = converted(changes, progress)
    assert "no --eval: of one set, 50 samples calibrate and 30 others evaluate" in progress.notes
    assert set(conversion.calib.ids).isdisjoint(conversion.evaluation.ids)
    assert conversion.metrics["labelled"] is True
    other, _ = converted({**changes, "seed": 1})
    assert set(other.evaluation.ids) != set(conversion.evaluation.ids)


def test_copies_of_one_sample_cannot_be_split(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((6, 8, 8, 1), np.uint8))
    with pytest.raises(DataError, match=r"E201.*one sample cannot both calibrate and evaluate"):
        converted({"calib": {"path": str(tmp_path / "x.npy")}, "eval": {}})


def test_samples_without_labels_have_agreement_only(tmp_path: Path) -> None:
    with np.load(MODELS / "digits_test.npz") as data:
        np.save(tmp_path / "x.npy", data["images"][:30])
    progress = Told()
    conversion, outcomes = converted({"calib": {"path": str(tmp_path / "x.npy")}, "eval": {}}, progress)
    assert "no labels: agreement with the ANN stands in for accuracy" in progress.notes
    assert conversion.metrics["ann"] == {"accuracy": None}
    for row in conversion.metrics["steps"]:
        assert row["accuracy"] is row["accuracy_ci95"] is None
        assert 0 <= row["agreement"] <= 1
    assert set(bundle_files(conversion, outcomes)) == FILES


def test_labels_that_the_network_lacks_are_refused(tmp_path: Path) -> None:
    with np.load(MODELS / "digits_test.npz") as data:
        np.savez(tmp_path / "x.npz", images=data["images"][:8], labels=[0, 1, 2, 3, 4, 5, 6, 10])
    with pytest.raises(DataError, match=r"E204.*sample 7: label 10, but the network has 10 classes"):
        converted({"eval": {"path": str(tmp_path / "x.npz")}})


def test_layer_that_is_always_zero_is_warned_of(save_onnx: Callable, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"], name="silent"),
        helper.make_node("Gemm", ["r", "w"], ["c"]),
    ]
    weights = {"w": np.eye(4, dtype=np.float32), "b": np.full(4, -9, np.float32)}
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((12, 4), np.float32))
    progress = Told()
    job = {"model": str(save_onnx(nodes, weights, (4,))), "calib": {"path": str(tmp_path / "x.npy")}}
    conversion = convert(build_job(job, "test"), CPU, progress)
    assert progress.warnings == ["node 'silent' is zero on every calibration sample: its scale is 1"]
    evaluate(conversion, CPU, progress)
    assert conversion.metrics["layers"][0]["dead"] == 1.0
    assert conversion.metrics["steps"][0]["spikes_per_sample"] == 0.0


# what is told and written


def test_stages_advance_by_every_sample() -> None:
    progress = Told()
    converted({}, progress)
    assert progress.stages == {
        "calibrate": [40, 40],
        "correct": [2, 2],
        "evaluate": [24, 24],
        "measure": [16, 16],
        "diagnose": [40, 40],
        "trace": [1, 1],
    }


def test_choices_are_told() -> None:
    progress = Told()
    converted({}, progress)
    assert "samples are read as NHWC; preprocessing: times 1/16" in progress.notes
    assert any(note.startswith("the network's input lies between 0 and 1 ") for note in progress.notes)
    progress = Told()
    converted({"preprocess": "none"}, progress)
    assert "samples are read as NHWC; preprocessing: none (values as stored)" in progress.notes
    assert any("lies between 0 and 16 " in note for note in progress.notes)


def test_every_equivalence_is_told_in_detail() -> None:
    progress = Told()
    conversion, _ = converted({}, progress, name="digits_resnet")
    assert len(progress.details) == len(conversion.metrics["equivalence"]) >= 3
    for line in progress.details:
        assert line.startswith("verified: ")
        assert line.endswith("(limit 1e-02)" if "on the grid" in line else "(limit 1e-04)")


def test_metrics_have_the_documented_keys() -> None:
    conversion, _ = converted(name="digits_cnn", steps=(2, 8))
    metrics = conversion.metrics
    assert set(metrics) == KEYS
    assert set(metrics["ann"]) == {"accuracy"}
    assert metrics["schedule"] == {"T": 8, "onset_delay": 0, "latency": 0}
    assert set(metrics["macs_per_sample"]) == {"ann", "snn_first_layer", "snn_graded_per_step"}
    assert [set(row) for row in metrics["steps"]] == [ROW, ROW]
    assert [set(row) for row in metrics["layers"]] == [LAYER] * len(conversion.network.neurons)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert (metrics["schema"], metrics["samples"], metrics["labelled"]) == ("snnconvert/metrics/1", 24, True)
    assert [row["t"] for row in metrics["steps"]] == [row["total_steps"] for row in metrics["steps"]] == [2, 8]


def test_rows_belong_to_one_network() -> None:
    few, _ = converted(steps=(4, 16))
    many, _ = converted(steps=(1, 2, 4, 7, 16))
    rows = {row["t"]: row for row in many.metrics["steps"]}
    for got, expected in zip(few.metrics["steps"], (rows[4], rows[16]), strict=True):
        # the sum of the outputs over time is rounded in another order
        assert got.pop("output_error") == pytest.approx(expected.pop("output_error"), rel=1e-6)
        assert got == expected


def test_same_job_gives_the_same_bytes() -> None:
    first, second = (bundle_files(*converted(name="digits_resnet")) for _ in range(2))
    assert set(first) == FILES
    assert first == second


def test_provenance_names_the_files_of_a_model_as_anyone_can_check(tmp_path: Path) -> None:
    model = onnx.load(document()["model"])
    path = tmp_path / "split.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="split.data", size_threshold=0)
    expected_digests = {
        each.name: {"sha256": hashlib.sha256(each.read_bytes()).hexdigest()} for each in (path, tmp_path / "split.data")
    }
    chosen = build_job({**document(), "model": str(path)}, "test")
    conversion = convert(chosen, torch.device("cpu"), Silent())
    (tmp_path / "split.data").write_bytes(b"")  # what it was, counts
    found = {each["name"]: each["digest"] for each in materials(conversion) if each["annotations"]["role"] == "model"}
    assert found == expected_digests
    assert conversion.loaded.sha256 not in {each["sha256"] for each in found.values()}
    assert {each["name"] for each in materials(conversion)} == {*found, "digits_calib.npz", "digits_test.npz"}


def test_bundle_is_written_whole(tmp_path: Path) -> None:
    destination = tmp_path / "deep" / "x_snn"
    run(build_job(document(), "test"), destination, False, "snnconvert x", Silent())
    verify_bundle(destination)
    assert set(read_manifest(destination)) == FILES
    assert {path.name for path in destination.iterdir()} == FILES | {"manifest.json", "run.json"}
    record = json.loads((destination / "run.json").read_bytes())
    assert record["command"] == "snnconvert x"
    verify_provenance(destination)
    made = json.loads((destination / "provenance.json").read_bytes())["predicate"]["buildDefinition"]
    roles = [each["annotations"]["role"] for each in made["resolvedDependencies"] if "annotations" in each]
    assert roles[:2] == ["model", "calibration"]
    model = Path(document()["model"])
    assert made["resolvedDependencies"][0]["digest"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert made["externalParameters"]["convert.percentile"] == 99.9
    assert not {"model", "calib.path"} & set(made["externalParameters"])
    with np.load(destination / "predictions.npz") as stored:
        assert {name: stored[name].shape for name in stored} == {
            "id": (24,),
            "label": (24,),
            "ann": (24,),
            "index": (24,),
            "source": (),
            "steps": (2,),
            "snn": (24, 2),
        }
    calibration = json.loads((destination / "calibration.json").read_bytes())
    assert calibration["samples"] == 40
    for value in calibration["values"].values():
        assert set(value) == {"scale", "percentile", "max", "zeros", "samples"}


def test_dense_outputs_are_written_too(save_onnx: Callable, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Conv", ["r", "b"], ["y"], pads=[1, 1, 1, 1]),
    ]
    make = np.random.default_rng(0)
    shapes = {"a": (4, 2, 3, 3), "b": (3, 4, 3, 3)}
    weights = {name: make.standard_normal(shape).astype(np.float32) / 3 for name, shape in shapes.items()}
    np.savez(tmp_path / "x.npz", x=make.random((12, 2, 5, 5), np.float32), y=np.arange(12))
    job = {"model": str(save_onnx(nodes, weights, (2, 5, 5))), "calib": {"path": str(tmp_path / "x.npz")}}
    conversion = run(build_job(job, "test"), tmp_path / "x_snn", False, "test", Silent())
    assert conversion.metrics["labelled"] is False
    rows = conversion.metrics["steps"]
    assert [row["accuracy"] for row in rows] == [None] * 6
    assert rows[-1]["output_error"] < 0.1 < rows[0]["output_error"]
    assert rows[-1]["agreement"] > 0.8
    onnx.checker.check_model(onnx.load(tmp_path / "x_snn" / "snn.onnx"))


# samples that stop early


def test_samples_that_are_decided_stop_and_the_rows_say_when() -> None:
    steps = {"steps": [1, 2, 4, 8, 16, 32]}
    whole, full = converted({"convert": steps}, samples=100)
    early, short = converted({"convert": steps | {"stop": 4.0}}, samples=100)
    rows, taken = early.metrics["steps"], [row["mean_steps"] for row in early.metrics["steps"]]
    assert taken[:2] == [1, 2]
    assert taken == sorted(taken)
    assert 4 < taken[-1] < 20
    assert early.metrics["schedule"]["stop_lead"] == early.network.stop_lead > 0
    assert "mean_steps" not in whole.metrics["steps"][0]
    for name in ("spikes_per_sample", "synops_per_sample", "energy_ratio"):
        assert rows[-1][name] < whole.metrics["steps"][-1][name]
    assert rows[-1]["agreement"] >= whole.metrics["steps"][-1]["agreement"] - 0.02
    for mine, theirs in zip(short.snn.T, full.snn.T, strict=True):  # what was said when it stopped stands
        ended = [place for place in range(6) if all(mine[place:] == theirs[place])]
        assert any(all(mine[:place] == theirs[:place]) for place in ended)


@pytest.mark.parametrize(
    ("convert", "words"),
    [({"stop": 2.0, "onset_delay": 4, "steps": [1, 4]}, "all layers but the last are done before the first readout")],
)
def test_stops_that_would_stop_nothing_are_refused(convert: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=rf"E003.*--stop: .*{words}"):
        converted({"convert": convert})


def test_where_no_class_leads_nobody_is_settled(save_onnx: Callable, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "a"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "b"], ["y"]),
    ]
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((12, 5), np.float32))
    model = save_onnx(nodes, {"a": np.ones((5, 4), np.float32), "b": np.ones((4, 3), np.float32)}, (5,))
    job = {"model": str(model), "calib": {"path": str(tmp_path / "x.npz")}, "convert": {"stop": 1.0}}
    with pytest.raises(UsageError, match=r"E003.*--stop: of no calibration sample has the ANN a class that leads"):
        convert(build_job(job, "test"), CPU, Silent())


def test_outputs_that_are_no_classes_cannot_lead(save_onnx: Callable, tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "a"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((12, 2, 5, 5), np.float32))
    model = save_onnx(nodes, {"a": np.ones((3, 2, 1, 1), np.float32)}, (2, 5, 5))
    job = {"model": str(model), "calib": {"path": str(tmp_path / "x.npz")}, "convert": {"stop": 1.0}}
    with pytest.raises(UsageError, match=r"E003.*--stop: the outputs are no classes"):
        convert(build_job(job, "test"), CPU, Silent())


# the embedded networks


@pytest.mark.parametrize("name", NETWORKS)
def test_embedded_network_keeps_its_accuracy(name: str) -> None:
    conversion, _ = converted(name=name, calib=400, samples=200, steps=(32,))
    metrics = conversion.metrics
    (row,) = metrics["steps"]
    assert metrics["ann"]["accuracy"] > 0.95
    assert abs(row["accuracy"] - metrics["ann"]["accuracy"]) <= 0.01
    assert row["agreement"] >= 0.99
    assert row["output_error"] < 0.1
    stages = [each["stage"] for each in metrics["equivalence"]]
    assert (stages[0], *stages[-2:]) == ("loaded network", "normal form as an ANN", "normal form on the grid")
    for each in metrics["equivalence"]:
        assert set(each) == {"stage", "compared", "max_error", "limit"}
        assert 0 <= each["max_error"] <= (1e-4 if "grid" in each["stage"] else 1e-5) < each["limit"]


def test_an_ann_that_does_badly_is_doubted(tmp_path: Path) -> None:
    progress = Told()
    converted({}, progress)
    assert [each for each in progress.warnings if each.startswith("W206")] == []
    labels = np.load(MODELS / "digits_test.npz")["labels"]
    images = np.load(MODELS / "digits_test.npz")["images"]
    np.savez(tmp_path / "wrong.npz", images=images, labels=(labels + 1) % 10)
    progress = Told()
    conversion, _ = converted({"eval": {"path": str(tmp_path / "wrong.npz"), "samples": 24}}, progress)
    (told,) = [each for each in progress.warnings if each.startswith("W206")]
    assert told.endswith("% of the samples: do --preprocess and the labels fit the network?")
    assert told in conversion.warnings
    progress = Told()
    converted({"preprocess": "none"}, progress, name="digits_cnn")
    (told,) = [each for each in progress.warnings if each.startswith("W206")]
    assert re.search(r"stored; of 24, \d+ as they are and 2\d with scale=1/16: does --preprocess fit\?$", told)


def test_an_ann_that_takes_whole_numbers_is_not_doubted(tmp_path: Path) -> None:
    graph = onnx.load(MODELS / "digits_mlp.onnx")
    scaled = onnx.helper.make_node("Mul", [graph.graph.input[0].name, "sixteenth"], ["scaled"])
    for node in graph.graph.node:
        node.input[:] = ["scaled" if name == graph.graph.input[0].name else name for name in node.input]
    graph.graph.node.insert(0, scaled)
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1 / 16), "sixteenth"))
    onnx.save(graph, tmp_path / "whole.onnx")
    with np.load(MODELS / "digits_test.npz") as data:
        images, labels = data["images"], data["labels"].copy()
    labels[:8] = (labels[:8] + 1) % 10  # an ANN that is not right on all
    np.savez(tmp_path / "some.npz", images=images[:32], labels=labels[:32])
    progress = Told()
    changes = {"model": str(tmp_path / "whole.onnx"), "preprocess": "none"}
    conversion, _ = converted({**changes, "eval": {"path": str(tmp_path / "some.npz")}}, progress)
    assert 0.6 < conversion.metrics["ann"]["accuracy"] < 0.8
    assert [each for each in progress.warnings if each.startswith("W206")] == []


def test_an_answer_of_the_ann_that_is_not_finite_is_refused(save_onnx: Callable, tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    model = save_onnx(nodes, {"w": np.full(3, 10, np.float32)}, (3,))
    x = np.random.default_rng(0).random((12, 3)).astype(np.float32)
    np.save(tmp_path / "calib.npy", x)
    x[9] = 1e38
    np.save(tmp_path / "eval.npy", x)
    document = {
        "model": str(model),
        "calib": {"path": str(tmp_path / "calib.npy")},
        "eval": {"path": str(tmp_path / "eval.npy")},
        "convert": {"steps": [2]},
    }
    with pytest.raises(ModelError, match="evaluation sample 9: the ANN's own output is NaN or infinite") as refusal:
        run(build_job(document, "test"), tmp_path / "out", False, "test", Silent())
    assert refusal.value.code == "E117"


def test_features_of_unlike_size_are_converted_as_well_as_of_one(save_onnx: Callable, tmp_path: Path) -> None:
    """A batch norm, and a linear layer: as networks on tables begin."""
    make = np.random.default_rng(0)
    table = make.normal(size=(64, 4))
    weights = {"w": make.normal(size=(4, 16)), "u": make.normal(size=(16, 3)), "g": np.ones(4), "b": np.zeros(4)}
    nodes = [
        helper.make_node("BatchNormalization", ["x", "g", "b", "m", "v"], ["n"]),
        helper.make_node("Gemm", ["n", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Gemm", ["r", "u"], ["y"]),
    ]
    errors = []
    for size in (np.ones(4), np.array([0.3, 12, 9e3, 3e6])):
        known = weights | {"m": 3 * size, "v": size**2}
        model = save_onnx(nodes, {name: np.float32(each) for name, each in known.items()}, (4,))
        np.save(tmp_path / "x.npy", np.float32(size * (3 + table)))
        document = {
            "model": str(model),
            "calib": {"path": str(tmp_path / "x.npy")},
            "eval": {"path": str(tmp_path / "x.npy")},
            "convert": {"steps": [64], "method": "max"},
        }
        found = run(build_job(document, "test"), tmp_path / "out", True, "test", Silent())
        errors.append(found.metrics["steps"][-1]["output_error"])
    assert errors[0] < 0.02
    assert errors[1] == pytest.approx(errors[0], rel=0.1)


def test_a_network_of_one_value_without_an_axis_is_converted(save_onnx: Callable, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "a"], ["c"], transB=1),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Gemm", ["r", "b"], ["g"], transB=1),
        helper.make_node("Squeeze", ["g", "axes"], ["y"]),
    ]
    make = np.random.default_rng(0)
    weights = {name: make.random(shape, np.float32) for name, shape in (("a", (16, 6)), ("b", (1, 16)))}
    model = save_onnx(nodes, weights | {"axes": np.array([1])}, (6,))
    np.savez(tmp_path / "x.npz", x=make.random((40, 6), np.float32), y=np.zeros(40, np.int64))
    progress = Told()
    job = build_job(
        {"model": str(model), "calib": {"path": str(tmp_path / "x.npz")}, "convert": {"steps": [64]}}, "test"
    )
    conversion = run(job, tmp_path / "x_snn", False, "test", progress)
    assert conversion.metrics["steps"][0]["accuracy"] is None
    assert conversion.metrics["steps"][0]["output_error"] < 0.05
    assert any(note.endswith("stands in for accuracy, and labels are not used") for note in progress.notes)
    assert Evaluator(tmp_path / "x_snn").evaluate(None, None)[0]["classes"] is None


def test_averages_in_the_place_of_max_pools_are_told_apart(tmp_path: Path) -> None:
    data = {"calib": {"path": str(MODELS / "digits_test.npz"), "samples": 40}}
    convert_options = {"steps": [32], "max_pool": "average"}
    conversion, _ = converted({**data, "convert": convert_options}, name="digits_cnn")
    assert conversion.metrics["diagnosis"]["sentence"].startswith(
        "Averages in the place of max pools change the outputs"
    )


def test_the_exported_network_is_run_beside_the_engine(tmp_path: Path) -> None:
    progress = Told()
    run(build_job(document(samples=4), "test"), tmp_path / "x_snn", False, "test", progress)
    assert any(
        re.match("verified, snn.onnx in ONNX Runtime: .* spike counts .*, all equal", each) for each in progress.details
    )


@pytest.mark.parametrize("exact", [True, False])
def test_an_exported_network_that_is_another_one_is_noticed(
    exact: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def doubled_weights(*given: Any) -> dict[str, bytes]:
        files = bundle_files(*given)
        model = onnx.load_model_from_string(files["snn.onnx"])
        weight = max(model.graph.initializer, key=lambda each: len(each.raw_data))
        weight.raw_data = (2 * onnx.numpy_helper.to_array(weight)).tobytes()
        return files | {"snn.onnx": model.SerializeToString()}

    monkeypatch.setattr(pipeline, "bundle_files", doubled_weights)
    if not exact:
        monkeypatch.setattr("snnconvert.exporting.inexact", lambda _: ["a mean of 49"])
    progress, job = Told(), build_job(document(samples=4), "test")
    if exact:
        with pytest.raises(InternalError, match=r"E912.*snn.onnx in ONNX Runtime: .* spike counts differ"):
            run(job, tmp_path / "x_snn", False, "test", progress)
        assert list(tmp_path.iterdir()) == []
    else:
        run(job, tmp_path / "x_snn", False, "test", progress)
        assert any("more than rounding explains" in warning for warning in progress.warnings)
