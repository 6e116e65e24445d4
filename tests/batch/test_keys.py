"""The key of a job: it changes with whatever can change a result, and with nothing else."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from snnconvert.batch import keys
from snnconvert.batch.keys import Contents, changes, key_document, key_of
from snnconvert.config import Job, build_job
from snnconvert.errors import UsageError
from snnconvert.load import load_model


def made(sweep: Path, **options: object) -> Job:
    document = {
        "model": str(sweep.parent / "net.onnx"),
        "calib": {"path": str(sweep.parent / "calib.npz")},
        "eval": {"path": str(sweep.parent / "eval.npz")},
        "preprocess": "scale=1/16",
        **options,
    }
    return build_job(document, "test")


def key(job: Job) -> str:
    return key_of(key_document(job, Contents()))


def test_model_that_is_a_folder_is_refused(sweep: Path) -> None:
    with pytest.raises(UsageError, match=r"E001.*: no such file"):
        key(made(sweep, model=str(sweep.parent)))


@pytest.mark.parametrize(
    "options",
    [{"seed": 1}, {"convert": {"percentile": 99.0}}, {"neuron": {"theta": 1.0}}, {"skip_bad": 1}, {"preprocess": None}],
)
def test_options_change_the_key(sweep: Path, options: dict[str, object]) -> None:
    assert key(made(sweep, **options)) != key(made(sweep))


@pytest.mark.parametrize("options", [{"workers": 7}, {"device": "cpu"}, {"trust_model": True}])
def test_what_changes_no_result_changes_no_key(sweep: Path, options: dict[str, object], monkeypatch) -> None:
    monkeypatch.setattr(keys, "version", lambda name: "1+cpu")
    keys.device_class.cache_clear()
    assert key(made(sweep, **options)) == key(made(sweep))
    keys.device_class.cache_clear()


def test_contents_count_and_paths_do_not(sweep: Path) -> None:
    before = key(made(sweep))
    shutil.copy(sweep.parent / "net.onnx", sweep.parent / "copy.onnx")
    assert key(made(sweep, model=str(sweep.parent / "copy.onnx"))) == before
    with np.load(sweep.parent / "eval.npz") as data:
        np.savez(sweep.parent / "eval.npz", images=data["images"], labels=data["labels"][::-1])
    assert key(made(sweep)) != before


def test_versions_and_epoch_count(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_document(made(sweep), Contents())
    monkeypatch.setattr(keys, "EPOCH", keys.EPOCH + 1)
    monkeypatch.setattr(keys, "versions", lambda: {**before["versions"], "torch": "9.0.1"})
    after = key_document(made(sweep, seed=3), Contents())
    assert changes(before, after) == [
        f"epoch was {keys.EPOCH - 1}, is {keys.EPOCH}",
        "seed was 0, is 3",
        f"torch was {before['versions']['torch']}, is 9.0.1",
    ]
    assert key_of(before) != key_of(after)
    assert changes(before, before) == []


def test_weights_beside_the_model_count(sweep: Path) -> None:
    model, folder = onnx.load(sweep.parent / "net.onnx"), sweep.parent / "outside"
    folder.mkdir()
    onnx.save_model(model, folder / "net.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    (folder / "weights").chmod(0o644)
    before = Contents().of_model(str(folder / "net.onnx"))
    assert before == load_model(folder / "net.onnx").sha256
    content = bytearray((folder / "weights").read_bytes())
    content[5] ^= 1
    (folder / "weights").write_bytes(content)
    assert Contents().of_model(str(folder / "net.onnx")) != before


def test_broken_model_has_a_key_too(sweep: Path) -> None:
    (sweep.parent / "net.onnx").write_bytes(b"location")
    assert len(key(made(sweep))) == 64
    (sweep.parent / "net.onnx").write_bytes(b"")
    assert len(key(made(sweep))) == 64


def test_names_of_classes_and_labels_beside_count(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "1.png").write_bytes(b"pixels")
    (tmp_path / "images" / ".hidden").mkdir()
    before = Contents().of_samples(str(tmp_path / "images"))
    (tmp_path / "images" / ".hidden" / "x").write_bytes(b"x")
    assert Contents().of_samples(str(tmp_path / "images")) == before
    (tmp_path / "images" / "b").rename(tmp_path / "images" / "c")
    assert Contents().of_samples(str(tmp_path / "images")) != before
    (tmp_path / "t-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    (tmp_path / "t-labels-idx1-ubyte").write_bytes(b"1")
    before = Contents().of_samples(str(tmp_path / "t-images-idx3-ubyte"))
    (tmp_path / "t-labels-idx1-ubyte").write_bytes(b"2")
    assert Contents().of_samples(str(tmp_path / "t-images-idx3-ubyte")) != before


def test_parts_of_a_folder_differ(tmp_path: Path) -> None:
    for part, content in (("train", b"1"), ("test", b"2")):
        (tmp_path / part).mkdir()
        (tmp_path / part / "1.png").write_bytes(content)
    assert Contents().of_samples(f"{tmp_path}:train") != Contents().of_samples(f"{tmp_path}:test")
    assert Contents().of_samples(f"{tmp_path}:train") == Contents().of_samples(str(tmp_path / "train"))
