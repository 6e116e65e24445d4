"""What is kept between runs changes no bit of a result, and whatever is wrong with it is made again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper

from snnconvert import checkpoints, pipeline
from snnconvert.bench import Bench, Piece, Sums
from snnconvert.calibrate import ActivationStatistics, from_arrays, to_arrays
from snnconvert.checkpoints import Arrays, Checkpoints
from snnconvert.config import Job, build_job
from snnconvert.errors import OutputError
from snnconvert.progress import Silent

MODELS = Path(__file__).parents[1] / "models"


def job(**options: object) -> Job:
    document = {
        "model": str(MODELS / "digits_cnn.onnx"),
        "calib": {"path": str(MODELS / "digits_calib.npz"), "samples": 32},
        "eval": {"path": str(MODELS / "digits_test.npz"), "samples": 40},
        "preprocess": "scale=1/16",
        "convert": {"steps": [1, 4]},
        **options,
    }
    return build_job(document, "test")


def bundle(folder: Path, kept: Checkpoints | None = None, chosen: Job | None = None) -> dict[str, bytes]:
    pipeline.run(job() if chosen is None else chosen, folder, False, "test", Silent(), kept)
    return files(folder)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "run.json"}


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> list[ActivationStatistics]:
    """What was collected, and not read."""
    made: list[ActivationStatistics] = []
    collect = pipeline.collect

    def counting(*arguments):
        made.append(collect(*arguments))
        return made[-1]

    monkeypatch.setattr(pipeline, "collect", counting)
    return made


class Killed(BaseException):
    pass


class KilledAfter(Silent):
    """Ends the process, as it were, in the middle of the evaluation."""

    def __init__(self, samples: int) -> None:
        self.left, self.name = samples, ""

    def stage(self, name: str, total: int) -> None:
        self.name = name

    def advance(self, samples: int) -> None:
        if self.name == "evaluate":
            self.left -= samples
            if self.left <= 0:
                raise Killed


class Watching(Silent):
    """Writes down how the evaluation moved on."""

    def __init__(self) -> None:
        self.evaluated: list[int] = []
        self.warned: list[str] = []
        self.name = ""

    def warn(self, text: str) -> None:
        if checkpoints.AGAIN in text:
            self.warned.append(text)

    def stage(self, name: str, total: int) -> None:
        self.name = name

    def advance(self, samples: int) -> None:
        if self.name == "evaluate":
            self.evaluated.append(samples)


@pytest.mark.parametrize("per_channel", [True, False])
def test_statistics_come_back_exactly(per_channel: bool) -> None:
    chosen = job(convert={"per_channel": per_channel})
    found = pipeline.convert(chosen, torch.device("cpu"), Silent())
    again = from_arrays(to_arrays(found.statistics), found.folded, per_channel)
    assert again is not None
    assert again.samples == found.statistics.samples
    for name, layer in found.statistics.layers.items():
        assert (again.layers[name].axis, again.layers[name].rank) == (layer.axis, layer.rank)
        for what in ("counts", "zeros", "maximum"):
            np.testing.assert_array_equal(getattr(again.layers[name].histogram, what), getattr(layer.histogram, what))
    assert from_arrays(to_arrays(found.statistics), found.folded, not per_channel) is None


def test_statistics_of_another_network_are_not_taken(tmp_path: Path, collected: list) -> None:
    kept = Checkpoints(tmp_path / "s.npz")
    bundle(tmp_path / "cnn", kept)
    other = job(model=str(MODELS / "digits_resnet.onnx"))
    assert bundle(tmp_path / "a", kept, other) == bundle(tmp_path / "b", None, other)
    assert len(collected) == 3


def test_statistics_are_collected_once(tmp_path: Path, collected: list) -> None:
    expected = bundle(tmp_path / "without")
    kept = Checkpoints(tmp_path / "kept" / "s.npz")
    assert bundle(tmp_path / "first", kept) == expected
    assert bundle(tmp_path / "second", kept) == expected
    assert len(collected) == 2


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-1], lambda c: c[:40] + b"\1" + c[41:], lambda c: b"", lambda c: c[:32]]
)
def test_broken_statistics_are_collected_again(tmp_path: Path, collected: list, damage) -> None:
    kept = Checkpoints(tmp_path / "s.npz")
    expected = bundle(tmp_path / "first", kept)
    whole = (tmp_path / "s.npz").read_bytes()
    (tmp_path / "s.npz").write_bytes(damage(whole))
    assert bundle(tmp_path / "second", kept) == expected
    assert len(collected) == 2
    assert (tmp_path / "s.npz").read_bytes() == whole


def test_place_that_takes_no_statistics_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"E402.*s\.npz: cannot be locked"):
        bundle(tmp_path / "out", Checkpoints(tmp_path / "file" / "s.npz"))


@pytest.mark.parametrize("at", [1, 17, 40])
@pytest.mark.parametrize("labelled", [True, False])
def test_killed_evaluation_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, labelled: bool
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    chosen = job()
    if not labelled:
        with np.load(MODELS / "digits_test.npz") as data:
            np.save(tmp_path / "bare.npy", data["images"][:40])
        chosen = job(eval={"path": str(tmp_path / "bare.npy")})
    expected = bundle(tmp_path / "undisturbed", None, chosen)
    kept = Checkpoints(None, tmp_path / "e.npz", "mine")
    with pytest.raises(Killed):
        pipeline.run(chosen, tmp_path / "killed", False, "test", KilledAfter(at), kept)
    assert (tmp_path / "e.npz").exists()
    watching = Watching()
    pipeline.run(chosen, tmp_path / "again", False, "test", watching, Checkpoints(None, tmp_path / "e.npz", "mine"))
    assert watching.evaluated == {1: [16, 16, 8], 17: [32, 8], 40: [40]}[at]
    assert files(tmp_path / "again") == expected
    assert not (tmp_path / "e.npz").exists()


def test_evaluation_of_another_job_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    with pytest.raises(Killed):
        pipeline.run(job(), tmp_path / "k", False, "test", KilledAfter(17), Checkpoints(None, tmp_path / "e", "mine"))
    other = job(convert={"steps": [2, 8]})
    assert bundle(tmp_path / "a", Checkpoints(None, tmp_path / "e", "other"), other) == bundle(
        tmp_path / "b", None, other
    )


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_of_an_evaluation_that_stops_early_give_the_same_bytes(tmp_path: Path, parts: int) -> None:
    data = {"path": str(MODELS / "digits_test.npz"), "samples": 300, "batch_size": 64}
    chosen = job(eval=data, convert={"steps": [*range(1, 25)], "stop": 0.8})
    expected = bundle(tmp_path / "undisturbed", None, chosen)
    (tmp_path / "kept").mkdir()
    kept = Checkpoints(None, tmp_path / "kept" / "e.npz", "mine")
    for number in range(parts):
        pipeline.run_part(chosen, number, parts, Silent(), kept)
    assert bundle(tmp_path / "again", kept, chosen) == expected


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(("parts", "measured"), [(1, []), (2, []), (3, []), (7, []), (3, [0]), (3, [1]), (3, [2])])
def test_parts_by_other_processes_give_the_same_bytes(
    tmp_path: Path, dense_job: Job, measured_at: list[int], parts: int, measured: list[int], dense: bool
) -> None:
    chosen = dense_job if dense else job(eval={"path": str(MODELS / "digits_test.npz"), "samples": 40})
    expected = bundle(tmp_path / "undisturbed", None, chosen)
    (tmp_path / "kept").mkdir()
    for number in measured or reversed(range(parts)):
        pipeline.run_part(chosen, number, parts, Silent(), Checkpoints(None, tmp_path / "kept" / "e.npz", "mine"))
    assert Checkpoints(None, tmp_path / "kept" / "e.npz", "another's").parts(pytest.fail) == {}
    assert Checkpoints(None, tmp_path / "kept" / "e.npz", "mine", "another network").parts(pytest.fail) == {}
    measured_at.clear()
    watching = Watching()
    kept = Checkpoints(None, tmp_path / "kept" / "e.npz", "mine")
    pipeline.run(chosen, tmp_path / "again", False, "test", watching, kept)
    assert files(tmp_path / "again") == expected
    assert sum(watching.evaluated) == 40
    assert watching.warned == []
    assert measured_at == [at for at in (0, 16, 32) if measured and at != 16 * measured[0]]
    assert [*(tmp_path / "kept").iterdir()] == []


@pytest.fixture
def measured_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the batches begin that are measured, and not taken from elsewhere."""
    found: list[int] = []
    measure = Bench.measure

    def counting(self: Bench, piece: Piece) -> Sums:
        found.append(piece.first)
        return measure(self, piece)

    monkeypatch.setattr(Bench, "measure", counting)
    return found


@pytest.fixture
def dense_job(save_onnx, tmp_path: Path) -> Job:
    """A network with an answer at each of 25 positions, and 40 samples for it."""
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Conv", ["r", "b"], ["y"], pads=[1, 1, 1, 1]),
    ]
    make = np.random.default_rng(0)
    weights = {
        name: make.standard_normal(shape).astype(np.float32) / 3
        for name, shape in {"a": (4, 2, 3, 3), "b": (3, 4, 3, 3)}.items()
    }
    np.save(tmp_path / "x.npy", make.random((40, 2, 5, 5), np.float32))
    data = {"path": str(tmp_path / "x.npy")}
    return job(model=str(save_onnx(nodes, weights, (2, 5, 5))), calib=data, eval=data, preprocess="")


def lacking(name: str) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.pop(name)


def changed(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.update({name: change(arrays[name])})


MUTATIONS = {
    **{
        f"no {name}": lacking(name)
        for name in ("key", "network", "snn", "labels", "samples", "taken", "sums", "spiked")
    },
    **{f"short {name}": changed(name, lambda a: a[..., :-1]) for name in ("snn", "ann", "labels", "synops", "sums")},
    **{f"deep {name}": changed(name, lambda a: a[None]) for name in ("snn", "samples", "agreed", "spiked")},
    **{f"another kind of {name}": changed(name, lambda a: a.astype(np.float16)) for name in ("ann", "spikes", "sums")},
    "text for samples": changed("samples", lambda a: np.array("many")),
    "an array more": lambda arrays: arrays.update(more=np.zeros(3)),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("part", [True, False])
def test_what_does_not_fit_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured_at: list[int], mutation: str, part: bool
) -> None:
    """A file that is whole, by its digest, but holds something else: by another version, or by a mistake."""
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    expected = bundle(tmp_path / "undisturbed")
    kept = Checkpoints(None, tmp_path / "e.npz", "mine")
    if part:
        pipeline.run_part(job(), 0, 2, Silent(), kept)
        (path,) = (tmp_path / "parts").iterdir()
    else:
        with pytest.raises(Killed):
            pipeline.run(job(), tmp_path / "killed", False, "test", KilledAfter(17), kept)
        path = tmp_path / "e.npz"
    arrays = checkpoints._read(path)
    assert arrays is not None
    MUTATIONS[mutation](arrays)
    checkpoints._write(path, arrays)
    measured_at.clear()
    progress = Watching()
    pipeline.run(job(), tmp_path / "again", False, "test", progress, kept)
    assert files(tmp_path / "again") == expected
    assert measured_at == [0, 16, 32]
    assert len(progress.warned) == 1


def test_a_broken_part_is_measured_again(tmp_path: Path, measured_at: list[int]) -> None:
    expected = bundle(tmp_path / "undisturbed")
    kept = Checkpoints(None, tmp_path / "e.npz", "mine")
    pipeline.run_part(job(), 1, 2, Silent(), kept)
    (part,) = (tmp_path / "parts").iterdir()
    content = part.read_bytes()
    part.write_bytes(content[:100] + b"x" + content[101:])
    measured_at.clear()
    progress = Watching()
    pipeline.run(job(), tmp_path / "again", False, "test", progress, kept)
    assert files(tmp_path / "again") == expected
    assert measured_at == [0, 16, 32]
    assert len(progress.warned) == 1


def test_a_part_that_is_there_is_not_measured_nor_the_network_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Checkpoints(None, tmp_path / "e.npz", "mine")
    pipeline.run_part(job(), 1, 2, Silent(), kept)
    monkeypatch.setattr(pipeline, "convert", lambda *_: pytest.fail("it was converted"))
    pipeline.run_part(job(), 1, 2, Silent(), kept)


def test_a_part_reads_no_sample_but_its_own_for_a_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "samples_digest", lambda path: pytest.fail(f"all of {path} was read"))
    pipeline.run_part(job(), 0, 2, Silent(), Checkpoints(None, tmp_path / "e.npz", "mine"))


def test_a_checkpoint_and_parts_go_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured_at: list[int]
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    expected = bundle(tmp_path / "undisturbed")
    kept = Checkpoints(None, tmp_path / "e.npz", "mine")
    with pytest.raises(Killed):
        pipeline.run(job(), tmp_path / "killed", False, "test", KilledAfter(17), kept)
    for number in range(3):  # the first two of which are known already
        pipeline.run_part(job(), number, 3, Silent(), kept)
    measured_at.clear()
    watching = Watching()
    pipeline.run(job(), tmp_path / "again", False, "test", watching, kept)
    assert files(tmp_path / "again") == expected
    assert (watching.evaluated, measured_at) == ([32, 8], [])
