"""``snnconvert export``: a file that runs elsewhere, whole or not at all, from a bundle that is what it says."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from snnconvert import exporting
from snnconvert.config import build_job
from snnconvert.pipeline import run
from snnconvert.progress import Silent

nir = pytest.importorskip("nir", reason="NIR is written by the package nir: pip install 'snnconvert[nir]'")
MODELS = Path(__file__).parents[2] / "models"
PROFILES = ("portable", "native")
TWO = [("torch", ["n.py", "n.safetensors"]), ("onnx", ["n.onnx", "n.step.onnx"])]  # formats of two files


@pytest.fixture(scope="session")
def made(digits: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of the two embedded networks with convolutions."""
    found = {}
    for name in ("digits_cnn", "digits_resnet"):
        document = {
            "model": str(MODELS / f"{name}.onnx"),
            "calib": {"path": str(digits["calib"])},
            "eval": {"path": str(digits["eval"])},
            "preprocess": "scale=1/16",
            "convert": {"steps": [4]},
        }
        found[name] = tmp_path_factory.mktemp(name) / f"{name}_snn"
        run(build_job(document, "test"), found[name], False, "test", Silent())
    return found


def test_a_verified_file_is_written(cli: Callable, bundle: Path, work: Path) -> None:
    done = cli("export", bundle, "--to", "nir", "--out", "net.nir", "--verify")
    assert done.status == 0, done.err
    assert done.out == "net.nir\n"
    assert "verified, snn.onnx in ONNX Runtime: " in done.err
    assert "verified, interpreter: " in done.err
    assert "readers start at 0" in done.err
    assert [path.name for path in work.iterdir()] == ["net.nir"]
    assert len(nir.read(work / "net.nir").nodes) == 8


def test_a_late_readout_is_verified_over_all_of_its_steps(cli: Callable, job: list[str], work: Path) -> None:
    assert cli(*job, "--readout-from", "4", "--out", "late_snn").status == 0

    def spikes(to: str, out: str) -> set[int]:
        result = cli("export", "late_snn", "--to", to, "--out", out, "--verify", "--json")
        return {each["spikes"] for each in json.loads(result.out)["verified"] if isinstance(each, dict)}

    assert spikes("nir", "net.nir") == spikes("onnx", "net.onnx")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_residual_network_is_verified(cli: Callable, made: dict[str, Path], profile: str) -> None:
    arguments = ("--to", "nir", "--out", "r.nir", "--nir-profile", profile, "--verify", "--json")
    done = cli("export", made["digits_resnet"], *arguments)
    assert done.status == 0, done.err
    document = json.loads(done.out)
    assert document["schema"] == "snnconvert/export/1"
    assert [each["differing"] for each in document["verified"]] == [0] * len(document["verified"])
    assert {each["by"] for each in document["verified"]} >= {"snn.onnx in ONNX Runtime", "interpreter"}
    assert all(each["spikes"] > 0 for each in document["verified"])


def test_a_max_pool_is_approximated_only_when_asked(cli: Callable, made: dict[str, Path], work: Path) -> None:
    refused = cli("export", made["digits_cnn"], "--to", "nir", "--out", "c.nir")
    assert refused.status == 3
    assert "NIR has no maximum" in refused.complaint[0]
    assert "--approximate max-pool" in refused.complaint[1]
    assert [*work.iterdir()] == []
    done = cli("export", made["digits_cnn"], "--to", "nir", "--out", "c.nir", "--approximate", "max-pool", "--verify")
    assert done.status == 0, done.err
    assert "warning: max pools are approximated by the mean of their window" in done.err
    assert "verified, snn.onnx as approximated in ONNX Runtime: " in done.err
    told = nir.read(work / "c.nir").metadata["approximations"]
    assert "max pools are approximated" in str(told)


def test_a_file_is_replaced_only_by_force(cli: Callable, bundle: Path, work: Path) -> None:
    (work / "net.nir").write_text("mine")
    refused = cli("export", bundle, "--to", "nir", "--out", "net.nir")
    assert refused.status == 5
    assert "exists already" in refused.complaint[0]
    assert (work / "net.nir").read_text() == "mine"
    assert cli("export", bundle, "--to", "nir", "--out", "net.nir", "--force").status == 0
    assert (work / "net.nir").read_bytes()[:4] == b"\x89HDF"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--to", "keras"], 2, "unknown format 'keras'"),
        (["--to", "nir", "--nir-profile", "best"], 2, "--nir-profile: no 'best'"),
        (["--to", "nir", "--approximate", "rates"], 2, "--approximate: no 'rates'"),
        (["--to", "nir", "--approximate", "max-pool"], 2, "holds nothing of it"),
    ],
)
def test_wrong_options_are_refused(
    cli: Callable, bundle: Path, work: Path, arguments: list[str], status: int, message: str
) -> None:
    done = cli("export", bundle, "--out", "net.nir", *arguments)
    assert done.status == status
    assert message in done.complaint[0]
    assert [*work.iterdir()] == []


def test_a_changed_bundle_is_refused(cli: Callable, bundle: Path) -> None:
    with (bundle / "snn.onnx").open("r+b") as file:
        file.seek(200)
        file.write(b"\0\1\2\3")
    done = cli("export", bundle, "--to", "nir", "--out", "net.nir")
    assert done.status == 5
    assert "snn.onnx' has changed" in done.complaint[0]


def test_a_link_in_a_bundle_is_not_followed(cli: Callable, bundle: Path, inputs: Path) -> None:
    shutil.move(bundle / "snn.onnx", inputs / "elsewhere.onnx")
    (bundle / "snn.onnx").symlink_to(inputs / "elsewhere.onnx")
    done = cli("export", bundle, "--to", "nir", "--out", "net.nir")
    assert done.status == 5
    assert "is not a regular file" in done.complaint[0]


def test_without_the_package_it_is_said_how_to_install_it(
    cli: Callable, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nir", None)
    done = cli("export", bundle, "--to", "nir", "--out", "net.nir")
    assert done.status == 5
    assert "nir is not installed" in done.complaint[0]
    assert "snnconvert[nir]" in done.complaint[1]


@pytest.mark.parametrize(("target", "names"), TWO)
@pytest.mark.parametrize("network", ["digits_cnn", "digits_resnet"])
def test_other_formats_are_verified(
    cli: Callable, made: dict[str, Path], work: Path, network: str, target: str, names: list[str]
) -> None:
    done = cli("export", made[network], "--to", target, "--out", names[0], "--verify")
    assert done.status == 0, done.err
    assert done.err.count("all equal") == 2
    assert sorted(path.name for path in work.iterdir()) == sorted(names)
    if target == "onnx":
        assert (work / "n.step.onnx").read_bytes() == (made[network] / "snn.onnx").read_bytes()


@pytest.mark.parametrize("name", ["net.pt", "my-net.py", "1.py", "class.py", ".py", "n\nx.py", "torch.py", "math.py"])
def test_a_module_needs_a_name_of_one(cli: Callable, bundle: Path, work: Path, name: str) -> None:
    done = cli("export", bundle, "--to", "torch", "--out", name)
    assert done.status == 2
    assert "no Python module" in done.complaint[0]
    assert [*work.iterdir()] == []


@pytest.mark.parametrize("target", ["nir", "onnx", "torch"])
@pytest.mark.parametrize("out", [".", "/", ""])
def test_a_place_without_a_name_is_refused(cli: Callable, bundle: Path, target: str, out: str) -> None:
    done = cli("export", bundle, "--to", target, "--out", out, "--force")
    assert done.status == 2
    assert "is no name of a file" in done.complaint[0]


@pytest.mark.parametrize("name", ["net.onnx", "snn.onnx"])
def test_a_bundle_stays_whole(cli: Callable, bundle: Path, name: str) -> None:
    done = cli("export", bundle, "--to", "onnx", "--out", bundle / name, "--force")
    assert done.status == 5
    assert "is a bundle, which would not be whole any more" in done.complaint[0]
    assert cli("verify", bundle).status == 0


@pytest.mark.parametrize("failing", [1, 2])
@pytest.mark.parametrize(("target", "names"), TWO)
def test_two_files_are_written_both_or_none(
    cli: Callable,
    bundle: Path,
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    names: list[str],
    failing: int,
) -> None:
    for name in names:
        (work / name).write_text("old")
    left = iter([*[None] * (failing - 1), OSError(errno.ENOSPC, "No space left on device")])

    def fsync(descriptor: int) -> None:
        if (problem := next(left)) is not None:
            raise problem

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        done = cli("export", bundle, "--to", target, "--out", names[0], "--force")
    assert done.status == 5
    assert "No space left on device" in done.complaint[0]
    assert {path.name: path.read_text() for path in work.iterdir()} == dict.fromkeys(names, "old")


def test_a_file_that_appeared_meanwhile_is_not_replaced(
    cli: Callable, bundle: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(path: Path) -> exporting.Opened:
        (work / "net.onnx").write_text("another's")
        return open_bundle(path)

    open_bundle = exporting.open_bundle
    monkeypatch.setattr(exporting, "open_bundle", late)
    done = cli("export", bundle, "--to", "onnx", "--out", "net.onnx")
    assert done.status == 5
    assert "exists already" in done.complaint[0]
    assert {path.name: path.read_text() for path in work.iterdir()} == {"net.onnx": "another's"}
