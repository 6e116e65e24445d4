"""Where options come from: command line, --set, environment, file, default, in this order."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from snnconvert.report.manifest import read_manifest


def config(bundle: str | Path = "net_snn") -> dict[str, object]:
    return yaml.safe_load(Path(bundle, "config.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def file(job: list[str], inputs: Path) -> Path:
    path = inputs / "job.yaml"
    path.write_text(
        f"model: {job[0]}\n"
        f"calib: {{path: {job[2]}}}\n"
        f"eval: {{path: {job[4]}}}\n"
        "preprocess: scale=1/16\n"
        "convert:\n"
        "  percentile: 99.5\n"
        "  steps: [2]\n"
        "seed: 5\n",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize(
    ("environment", "arguments", "percentile"),
    [
        ({}, [], 99.5),
        ({"SNNCONVERT_CONVERT_PERCENTILE": "98"}, [], 98.0),
        ({"SNNCONVERT_CONVERT_PERCENTILE": "98"}, ["--set", "convert.percentile=97"], 97.0),
        ({"SNNCONVERT_CONVERT_SET": "convert.percentile=97"}, [], 97.0),
        ({"SNNCONVERT_CONVERT_PERCENTILE": "98"}, ["--percentile", "96"], 96.0),
        ({}, ["--set", "convert.percentile=97", "--percentile", "96"], 96.0),
        ({}, ["--set", "convert.percentile=97", "--set", "convert.percentile=95"], 95.0),
    ],
)
def test_order_of_sources(
    cli: Callable,
    monkeypatch: pytest.MonkeyPatch,
    file: Path,
    environment: dict[str, str],
    arguments: list[str],
    percentile: float,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cli("--config", file, *arguments).status == 0
    assert config()["convert"]["percentile"] == percentile
    assert config()["seed"] == 5


def test_every_option_may_come_from_the_environment(
    cli: Callable, monkeypatch: pytest.MonkeyPatch, job: list[str]
) -> None:
    for name, value in {
        "CALIB": job[2],
        "EVAL": job[4],
        "PREPROCESS": "scale=1/16",
        "CALIB_SAMPLES": "30",
        "EVAL_SAMPLES": "20",
        "STEPS": "3,1",
        "PERCENTILE_OF": "all",
        "PER_CHANNEL": "false",
        "MAX_POOL": "gate",
        "WEIGHTS": "int8",
        "ENCODING": "constant",
        "PLOTS": "svg",
        "STOP": "6.5",
        "INPUT_SHAPE": "N,1,8,8",
        "OUTPUT_NAME": "logits",
        "TRUST_MODEL": "true",
        "SKIP_BAD": "2",
        "WORKERS": "3",
        "MAX_MEMORY": "8G",
        "RESET": "zero",
        "INITIAL_POTENTIAL": "0.25",
        "BATCH_SIZE": "7",
        "SEED": "3",
        "DEVICE": "cpu",
        "OUT": "here_snn",
        "QUIET": "1",
    }.items():
        monkeypatch.setenv(f"SNNCONVERT_CONVERT_{name}", value)
    result = cli(job[0])
    assert (result.status, result.err) == (0, "")
    assert config("here_snn") == {
        "model": job[0],
        "input_shape": [1, 8, 8],
        "output_name": "logits",
        "trust_model": True,
        "calib": {"path": job[2], "samples": 30, "batch_size": 64},
        "eval": {"path": job[4], "samples": 20, "batch_size": 7},
        "preprocess": {"scale": 0.0625},
        "convert": {
            "method": "percentile",
            "percentile": 99.9,
            "percentile_of": "all",
            "per_channel": False,
            "correct": ["bias"],
            "correct_samples": 256,
            "neuron": "if",
            "spikes": "binary",
            "reset": "zero",
            "initial_potential": 0.25,
            "max_pool": "gate",
            "weights": "int8",
            "encoding": "constant",
            "steps": [1, 3],
            "onset_delay": 0,
            "warm_up": 0.0,
            "readout_from": 0,
            "stop": 6.5,
        },
        "neuron": {},
        "plots": "svg",
        "trace": {"sample": None, "neurons": []},
        "seed": 3,
        "skip_bad": 2,
        "workers": 3,
        "max_memory": 8_000_000_000,
        "device": "cpu",
    }


def test_config_of_a_bundle_repeats_the_run(cli: Callable, job: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli(*job, "--per-layer", "--seed", "4").status == 0
    monkeypatch.chdir("net_snn")
    assert cli("--config", "config.yaml", "--out", "../again").status == 0
    again = Path("../again")
    names = sorted(path.name for path in again.iterdir())
    assert names == sorted(path.name for path in Path().iterdir())
    for name in names:
        assert (again / name).read_bytes() == Path(name).read_bytes() or name == "run.json", name
    assert len(read_manifest(again)) == 9


def test_batch_size_changes_no_accuracy(cli: Callable, job: list[str]) -> None:
    tables = {cli(*job, "--force", "--batch-size", size).out for size in (1, 16, 32)}
    assert len(tables) == 1


def test_paths_of_a_file_are_relative_to_it(cli: Callable, digits: dict[str, Path], inputs: Path) -> None:
    for name in ("model", "calib"):
        (inputs / digits[name].name).symlink_to(digits[name])
    (inputs / "job.yaml").write_text(
        "model: net.onnx\ncalib: {path: calib.npz}\npreprocess: scale=1/16\nconvert: {steps: [2]}\n", encoding="utf-8"
    )
    assert cli("--config", "../inputs/job.yaml").status == 0
    assert config()["model"] == str(inputs / "net.onnx")
    assert config()["calib"]["path"] == str(inputs / "calib.npz")


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("convert: {percentle: 99}", "job.yaml:1:11: convert.percentle: unknown option", "did you mean 'percentile'?"),
        ("seed: 1\nconvrt: {}", "job.yaml:2:1: convrt: unknown option", "did you mean 'convert'?"),
        ("convert:\n  percentile: 101", "job.yaml:2:3: convert.percentile: Input should be less than", None),
        ("convert: {steps: 1}", "job.yaml:1:11: convert.steps: expected a list", None),
        ("convert: [1]", "job.yaml:1:1: convert: expected options below it", None),
        ("seed: on", "job.yaml:1:1: seed: Input should be a valid integer, got 'on'", None),
        ("calib: data.npz", "job.yaml:1:1: calib: expected options below it, got 'data.npz'", None),
        ("calib:\n  samples: 3", "no calibration samples given", "snnconvert MODEL --calib PATH"),
        ("calib:", "no calibration samples given", "snnconvert MODEL --calib PATH"),
    ],
)
def test_mistake_in_a_file_is_told_with_its_place(
    cli: Callable, inputs: Path, text: str, words: str, hint: str | None
) -> None:
    file = inputs / "job.yaml"
    calib = "" if "calib" in text else "\ncalib: {path: x.npz}"
    file.write_text(f"{text}{calib}\nmodel: net.onnx\n", encoding="utf-8")
    result = cli("--config", file)
    assert (result.status, result.out) == (2, "")
    assert words in result.err.splitlines()[0]
    assert result.err.splitlines()[1:] == ([] if hint is None else [f"hint: {hint}"])


def test_option_that_replaces_one_of_the_file_is_told_as_an_option(cli: Callable, file: Path) -> None:
    result = cli("--config", file, "--percentile", "200")
    assert result.err.startswith("error[E301]: options: convert.percentile: ")
    result = cli("--config", file, "--set", "calib.path.more=1")
    assert result.err.startswith("error[E003]: calib.path.more: 'path' holds no options but '/")


def test_steps_by_set_are_a_list(cli: Callable, file: Path) -> None:
    assert cli("--config", file, "--set", "convert.steps=[8, 2, 8]").status == 0
    assert config()["convert"]["steps"] == [2, 8]
    result = cli("--config", file, "--set", "convert.steps=8,2")
    assert "convert.steps: expected a list of numbers of time steps, such as [1, 2, 4, 8], got '8,2'" in result.err


def test_options_under_an_empty_key_of_a_file(cli: Callable, file: Path) -> None:
    file.write_text(file.read_text(encoding="utf-8") + "device:\n", encoding="utf-8")
    assert cli("--config", file, "--device", "cpu").status == 0


@pytest.mark.parametrize("text", ["1,8,8", "1x8x8", "N,1,8,8", "-1,1,8,8"])
def test_input_shape_is_of_one_sample(cli: Callable, job: list[str], text: str) -> None:
    assert cli(*job, "--input-shape", text).status == 0
    assert config("net_snn")["input_shape"] == [1, 8, 8]


@pytest.mark.parametrize("text", ["", "3,", "a,b", "3,-224", "3.5", "1" * 20])
def test_input_shape_that_is_none_is_refused(cli: Callable, job: list[str], text: str) -> None:
    result = cli(*job, f"--input-shape={text}")
    assert (result.status, result.err.startswith("error[E003]: --input-shape")) == (2, True)


def test_starting_point_is_a_job_that_runs(cli: Callable, job: list[str], tmp_path: Path) -> None:
    assert cli("inspect", job[0], "--emit-config", "start.yaml").status == 0
    text = Path("start.yaml").read_text()
    assert all(f"{option}:" in text for option in ("max_pool", "percentile", "workers", "input_shape"))
    again = cli("inspect", job[0], "--emit-config", "start.yaml")
    assert (again.status, again.err.startswith("error[E401]: start.yaml: is there already")) == (5, True)
    Path("start.yaml").write_text(text.replace("SAMPLES", job[2]))
    assert cli("--config", "start.yaml", "--steps", "2", *job[3:]).status == 0
    assert config("net_snn")["calib"]["path"] == job[2]


def test_file_cannot_ask_to_be_trusted(cli: Callable, job: list[str]) -> None:
    Path("job.yaml").write_text("seed: 1\ntrust_model: true\n")
    result = cli(*job, "--config", "job.yaml")
    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "error[E301]: job.yaml:2:1: trust_model: a file cannot ask to be trusted\nhint: add --trust-model\n"
    )
    assert cli(*job, "--config", "job.yaml", "--trust-model").status == 0
    assert "--trust-model" in Path("net_snn/report.html").read_text()
