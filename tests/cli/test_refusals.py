"""Every bad input: one line, perhaps a hint, the right exit status, no traceback, and nothing left behind."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from snnconvert.report.manifest import manifest_bytes

ESC = "a\x1b[31m\nb\u202e<script>alert(1)</script>"
LONG = "n" * 1_000_000
RELU = helper.make_node("Relu", ["x"], ["y"])
GEMM = helper.make_node("Gemm", ["x", "w"], ["h"])
AFTER = helper.make_node("Relu", ["h"], ["y"])


def refused(result, status: int, code: str, *words: str) -> None:
    """Check the one line on stderr, its hint, the status, and that all of it can be printed."""
    assert (result.status, result.out) == (status, "")
    error, *hints = result.err.splitlines()
    assert error.startswith(f"error[{code}]: ")
    assert [hint[:6] for hint in hints] in ([], ["hint: "])
    assert all(line.isprintable() and len(line) < 700 for line in (error, *hints))
    for word in words:
        assert word in error


@pytest.fixture
def convert(cli: Callable, job: list[str], work: Path) -> Callable:
    """Convert with other inputs, and see that a refusal leaves nothing behind, as text and as JSON alike."""

    def call(*options: object, model: object = job[0], calib: object = job[2], evaluation: object = job[4]):
        arguments = [model, "--calib", calib, "--eval", evaluation, "--preprocess", "scale=1/16", "--steps", "1,4"]
        before = sorted(work.rglob("*"))
        plain = cli("-q", *arguments, *options)
        document = cli("-q", "--json", *arguments, *options)
        assert sorted(work.rglob("*")) == before
        assert (document.status, document.err) == (plain.status, plain.err)
        told = json.loads(document.out)["error"]
        assert plain.err.startswith(f"error[{told['code']}]: {told['message']}\n")
        assert (told["hint"] is None) == (len(plain.err.splitlines()) == 1)
        return plain

    return call


# models


def test_model_that_is_no_file_is_refused(convert: Callable, inputs: Path) -> None:
    refused(convert(model="gone.onnx"), 2, "E001", "gone.onnx", "no such file")
    refused(convert(model=inputs), 2, "E001", "not a file")
    os.mkfifo(inputs / "pipe.onnx")
    refused(convert(model=inputs / "pipe.onnx"), 2, "E001", "not a file")
    refused(convert("--out", "a", model=inputs / ("x" * 300 + ".onnx")), 2, "E001")
    refused(convert(model=inputs / f"{ESC}.onnx"), 2, "E001", "no such file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_model_that_must_not_be_read_is_refused(convert: Callable, inputs: Path) -> None:
    (inputs / "net.onnx").touch(0o000)
    refused(convert(model=inputs / "net.onnx"), 2, "E001", "cannot be read")


def cut(part: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(len(content) * part)]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda _: b"", "E101", "the file is empty"),
        (cut(0.5), "E101", "not an ONNX model"),
        (lambda content: content[:-1], "E101", "not an ONNX model"),
        (lambda _: np.random.default_rng(0).bytes(5000), "E101", "not an ONNX model"),
        (lambda _: b"import torch\nprint('this is no network')\n", "E101", "not an ONNX model"),
        (lambda _: b"\x89PNG\r\n\x1a\n" + bytes(100), "E101", "not an ONNX model"),
        (lambda _: b"PK\x03\x04" + bytes(100), "E133", "not a sound zip archive"),
    ],
    ids=["empty", "half", "one byte less", "random", "text", "PNG", "zip"],
)
def test_file_that_is_no_onnx_is_refused(
    convert: Callable, digits: dict[str, Path], inputs: Path, change: Callable, code: str, words: str
) -> None:
    (inputs / "net.onnx").write_bytes(change(digits["model"].read_bytes()))
    refused(convert(model=inputs / "net.onnx"), 3, code, "net.onnx", words)


@pytest.mark.parametrize("operator", ["Foo", "Tanh", "Gelu", ESC, LONG], ids=["Foo", "Tanh", "Gelu", "ESC", "1MB"])
def test_unknown_operator_is_refused(convert: Callable, save_onnx: Callable, operator: str) -> None:
    nodes = [helper.make_node(operator, ["x"], ["h"], name="act1"), AFTER]
    refused(convert(model=save_onnx(nodes)), 3, "E120", "act1" if len(operator) < 100 else "")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["fc1.weight", ESC, LONG], ids=["plain", "ESC", "1MB"])
def test_weight_that_is_not_finite_is_refused_by_name(
    convert: Callable, save_onnx: Callable, value: float, name: str
) -> None:
    weight = np.ones((4, 3), np.float32)
    weight[2, 1] = value
    model = save_onnx([helper.make_node("Gemm", ["x", name], ["h"]), AFTER], {name: weight}, (4,))
    told = name if name == "fc1.weight" else ""
    refused(convert(model=model), 3, "E113", told, "(2, 1)" if len(name) < 100 else "")


def test_two_inputs_are_refused(convert: Callable, save_onnx: Callable) -> None:
    def second(model: onnx.ModelProto) -> None:
        model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 3]))

    result = convert(model=save_onnx([RELU], change=second))
    refused(result, 3, "E124", "one input expected, got 2 ('x', 'mask')")


def test_weight_that_does_not_fit_is_refused(convert: Callable, save_onnx: Callable) -> None:
    result = convert(model=save_onnx([GEMM, AFTER], {"w": np.ones((5, 3), np.float32)}, (4,)))
    refused(result, 3, "E124", "(Gemm)")


def test_network_without_a_relu_is_refused(convert: Callable, save_onnx: Callable) -> None:
    model = save_onnx([helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["h"])],
                      {"w": np.ones((64, 10), np.float32)}, (1, 8, 8))  # fmt: skip
    refused(convert(model=model), 3, "E119", "nothing would spike")


# data


def test_data_that_is_not_there_is_refused(convert: Callable, inputs: Path, digits: dict[str, Path]) -> None:
    refused(convert(calib=inputs / "gone.npz"), 2, "E001", "gone.npz", "no such file or folder")
    refused(convert(evaluation=inputs / f"{ESC}.npz"), 2, "E001")
    refused(convert(calib=f"{digits['calib']}:train"), 2, "E001", "only a folder has parts")


def test_shapes_that_do_not_fit_are_refused(convert: Callable, inputs: Path) -> None:
    np.save(inputs / "large.npy", np.zeros((4, 9, 9, 1), np.uint8))
    refused(convert(calib=inputs / "large.npy"), 4, "E204", "large.npy", "got (1, 9, 9)", "expected (1, 8, 8)")
    refused(convert(evaluation=inputs / "large.npy"), 4, "E204", "large.npy")
    np.save(inputs / "rows.npy", np.zeros((4, 7), np.uint8))
    refused(convert(calib=inputs / "rows.npy"), 4, "E204", "rows.npy: sample 0", "(7,)")
    np.save(inputs / "colours.npy", np.zeros((4, 8, 8, 3), np.uint8))
    result = convert(evaluation=inputs / "colours.npy")
    refused(result, 4, "E204", "colours.npy", "got (8, 8, 3), expected (1, 8, 8)")


def test_empty_or_unreadable_data_is_refused(convert: Callable, inputs: Path) -> None:
    (inputs / "folder" / "class").mkdir(parents=True)
    refused(convert(calib=inputs / "folder"), 4, "E201")
    (inputs / "folder" / "class" / "a.png").write_bytes(b"no picture")
    refused(convert(calib=inputs / "folder"), 4, "E201", "is an image that can be read")
    Image.new("L", (8, 8)).save(inputs / "folder" / "class" / "b.png")
    refused(convert(calib=inputs / "folder"), 4, "E202", "a.png")
    np.savez(inputs / "none.npz", images=np.zeros((0, 8, 8, 1), np.uint8))
    refused(convert(calib=inputs / "none.npz"), 4, "E201", "no samples")
    for name, content in (("empty.npz", b""), ("text.npz", b"hello"), ("zip.npz", b"PK\x03\x04" + bytes(50))):
        (inputs / name).write_bytes(content)
        refused(convert(calib=inputs / name), 4, "E203", name)
    np.save(inputs / "objects.npy", np.array([{}, []], object), allow_pickle=True)
    refused(convert(calib=inputs / "objects.npy"), 4, "E203", "expected numbers")
    whole = (inputs / "objects.npy").read_bytes()
    (inputs / "half.npy").write_bytes(whole[: len(whole) // 2])
    refused(convert(evaluation=inputs / "half.npy"), 4, "E203", "half.npy")


def test_folder_of_several_parts_is_refused_with_the_names(convert: Callable, inputs: Path) -> None:
    for name in ("test", "train"):
        (inputs / "set" / name / "zero").mkdir(parents=True)
    for path, words in (
        ("set", "which part? It has test, train"),
        ("set:trian", "no part 'trian': it has test, train"),
    ):
        result = convert(calib=inputs / path)
        refused(result, 2, "E001", words)
        assert result.err.splitlines()[1] == f"hint: give {inputs}/set:train"


def test_labels_out_of_range_are_refused(convert: Callable, inputs: Path) -> None:
    for label, words in ((10, "label 10, but the network has 10 classes"), (-1, "got -1, expected class indices")):
        labels = np.array([0, 1, label, 3])
        np.savez(inputs / "wrong.npz", images=np.ones((4, 8, 8, 1), np.uint8), labels=labels)
        refused(convert(evaluation=inputs / "wrong.npz"), 4, "E204", "wrong.npz", words)
    np.savez(inputs / "few.npz", images=np.ones((4, 8, 8, 1), np.uint8), labels=[0, 1])
    refused(convert(evaluation=inputs / "few.npz"), 4, "E204", "got 2 labels, expected 4")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("role", ["calib", "evaluation"])
def test_data_that_is_not_finite_is_refused(convert: Callable, inputs: Path, value: float, role: str) -> None:
    images = 16 * np.random.default_rng(0).random((30, 8, 8, 1), np.float32)
    images[17, 3, 3] = value
    np.save(inputs / "holes.npy", images)
    refused(convert(**{role: inputs / "holes.npy"}), 4, "E204", "holes.npy: sample 17", "NaN or infinite")


def test_one_sample_cannot_be_split(cli: Callable, job: list[str], inputs: Path) -> None:
    np.save(inputs / "one.npy", np.ones((1, 8, 8, 1), np.uint8))
    refused(cli("-q", job[0], "--calib", inputs / "one.npy"), 4, "E201", "one sample")


# outputs


def test_output_that_is_there_is_refused(convert: Callable, bundle: Path, inputs: Path, work: Path) -> None:
    refused(convert("--out", bundle), 5, "E401", "exists already")
    (inputs / "mine").mkdir()
    (inputs / "mine" / "thesis.tex").write_text("precious", encoding="utf-8")
    refused(convert("--out", inputs / "mine", "--force"), 5, "E401", "is no bundle")
    refused(convert("--out", inputs / "mine" / "thesis.tex", "--force"), 5, "E401", "is a file")
    refused(convert("--out", inputs / "mine" / "thesis.tex" / "x"), 5, "E401", "is not a directory")
    (inputs / "link").symlink_to(bundle)
    refused(convert("--out", inputs / "link", "--force"), 5, "E401", "symbolic link")
    refused(convert("--out", work / ("x" * 300)), 5, "E401", "too long")
    assert (inputs / "mine" / "thesis.tex").read_text(encoding="utf-8") == "precious"


def test_output_that_is_the_model_is_refused(convert: Callable, job: list[str]) -> None:
    refused(convert("--out", job[0], "--force"), 5, "E401", "is a file")


def test_output_among_the_samples_is_refused(convert: Callable, inputs: Path) -> None:
    for number in range(2):
        (inputs / "set" / str(number)).mkdir(parents=True)
        Image.new("L", (8, 8)).save(inputs / "set" / str(number) / "a.png")
    refused(convert("--out", inputs / "set" / "net_snn", calib=inputs / "set"), 5, "E401", "among the samples")
    refused(convert("--out", inputs / "set" / "0" / "x", evaluation=inputs / "set"), 5, "E401", "among the samples")
    assert sorted(path.name for path in (inputs / "set").iterdir()) == ["0", "1"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_that_is_not_writable_is_refused(convert: Callable, inputs: Path) -> None:
    (inputs / "locked").mkdir(0o500)
    refused(convert("--out", inputs / "locked" / "net_snn"), 5, "E401", "not writable")


# options


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--steps", "0"], "E003", "--steps"),
        (["--steps", "1,x"], "E003", "got '1,x'"),
        (["--steps", ""], "E003", "--steps"),
        (["--steps", "1,2000000"], "E003", "--steps"),
        (["--percentile", "0"], "E301", "convert.percentile"),
        (["--percentile", "101"], "E301", "convert.percentile"),
        (["--percentile", "nan"], "E301", "convert.percentile"),
        (["--percentile", "high"], "E002", "'high' is not a valid float"),
        (["--initial-potential", "1"], "E301", "convert.initial_potential"),
        (["--batch-size", "1000000"], "E301", "eval.batch_size"),
        (["--device", "tpu"], "E301", "expected auto, cpu or cuda:N, got 'tpu'"),
        (["--preprocess", "scael=1/16"], "E003", "unknown key 'scael'"),
        (["--preprocess", "scale=1/0"], "E003", "scale"),
        (["--preprocess", "mean=1/2/3"], "E003", "mean"),
        (["--set", "convert.percentile"], "E003", "--set: expected path=value"),
        (["--set", "convert.percentle=1"], "E301", "options: convert.percentle: unknown option"),
        (["--set", "eval.samples=many"], "E301", "eval.samples: Input should be a valid integer, got 'many'"),
        (["--set", "seed=[1"], "E301", "--set seed:1:3"),
        (["--set", "neuron.k=15"], "E003", "neuron.k: the neuron 'if' has no such parameter"),
        (["--set", "neuron.leak=-1"], "E003", "neuron.leak: expected at least 0 (thresholds a step), got -1"),
        (["--set", "convert.neuron=1"], "E301", "convert.neuron"),
        (["--neuron", "iff"], "E002", "unknown neuron 'iff'"),
        (["--neuron", "lif", "--onset-delay", "1"], "E003", "--onset-delay: a neuron 'lif' that may not fire loses"),
        (["--neuron", "lif", "--reset", "zero"], "E003", "--reset: the neuron 'lif' resets in its own way"),
        (["--method", "mes"], "E002", "unknown method 'mes'"),
        (["--method", "auto", "--neuron", "if-signed"], "E003", "--method auto: it chooses --neuron itself"),
        (["--method", "auto", "--warm-up", "1"], "E003", "--method auto: it chooses --warm-up itself"),
        (["--spikes", "graded"], "E003", "--spikes: only --method auto chooses neurons"),
        (
            ["--method", "auto", "--spikes", "signed", "--max-pool", "gate"],
            "E003",
            "--max-pool gate: it passes binary spikes, not signed ones",
        ),
        (["--correct", "bias,step-bias"], "E003", "--correct: bias and step-bias: one of the two"),
        (["--correct", "biases"], "E003", "--correct: unknown correction 'biases'"),
        (
            ["--correct", "step-bias", "--neuron", "differential"],
            "E003",
            "--correct: step-bias of a neuron that decodes",
        ),
        (["--onset-delay", "1", "--warm-up", "1"], "E003", "--onset-delay and --warm-up: one of the two"),
        (["--onset-delay", "1", "--readout-from", "2"], "E003", "--onset-delay and --readout-from: one of the two"),
        (["--config", "gone.yaml"], "E001", "gone.yaml: cannot be read (No such file or directory)"),
        (["--config", "."], "E001", "Is a directory"),
    ],
)
def test_wrong_options_are_refused(convert: Callable, options: list[str], code: str, words: str) -> None:
    refused(convert(*options), 2, code, words)


def test_device_that_is_not_here_is_refused(convert: Callable) -> None:
    refused(convert("--device", "cuda:99"), 5, "E404", "cuda:99 is not here")


# bundles


@pytest.mark.parametrize("verb", ["verify", "evaluate"])
def test_what_is_no_bundle_is_refused(cli: Callable, verb: str, inputs: Path, digits: dict[str, Path]) -> None:
    refused(cli("-q", verb, "gone"), 2, "E001", "no such directory")
    refused(cli("-q", verb, inputs), 2, "E001", "no bundle")
    refused(cli("-q", verb, digits["model"]), 2, "E001")
    refused(cli("-q", verb, ESC), 2, "E001")


@pytest.mark.parametrize("verb", ["verify", "evaluate"])
@pytest.mark.parametrize("name", ["snn.onnx", "metrics.json", "evaluate.py", "predictions.npz", "manifest.json"])
def test_damaged_bundle_is_refused(cli: Callable, verb: str, bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    refused(cli("-q", verb, bundle), 5, "E403", str(bundle))


def test_bundle_with_a_missing_or_foreign_file_is_refused(cli: Callable, bundle: Path) -> None:
    (bundle / "notes.txt").touch()
    refused(cli("-q", "verify", bundle), 5, "E403", "notes.txt")
    (bundle / "notes.txt").rename(bundle / "curve.csv")
    refused(cli("-q", "verify", bundle), 5, "E403", "curve.csv")


def test_evaluation_on_wrong_samples_is_refused(cli: Callable, bundle: Path, inputs: Path) -> None:
    refused(cli("-q", "evaluate", bundle, "--data", "gone.npz"), 2, "E001", "gone.npz")
    np.save(inputs / "large.npy", np.zeros((4, 9, 9, 1), np.uint8))
    refused(cli("-q", "evaluate", bundle, "--data", inputs / "large.npy"), 4, "E204", "(1, 9, 9)")
    np.savez(inputs / "wrong.npz", images=np.ones((2, 8, 8, 1), np.uint8), labels=[0, 12])
    refused(cli("-q", "evaluate", bundle, "--data", inputs / "wrong.npz"), 4, "E204", "label 12")
    refused(cli("-q", "evaluate", bundle, "--steps", "-1"), 2, "E003", "--steps")


def test_evaluation_without_the_samples_of_the_conversion_is_refused(
    cli: Callable, bundle: Path, digits: dict[str, Path], made_bundle: Path
) -> None:
    hidden = digits["eval"].with_name("hidden.npz")
    digits["eval"].rename(hidden)
    try:
        result = cli("-q", "evaluate", bundle)
        refused(result, 2, "E001", "eval.npz: no such file")
        assert result.err.splitlines()[1] == "hint: say where the samples are: --data PATH"
        assert cli("-q", "evaluate", bundle, "--data", hidden).status == 0
    finally:
        hidden.rename(digits["eval"])


def test_provenance_of_another_bundle_is_no_whole_bundle(cli: Callable, bundle: Path) -> None:
    statement = json.loads((bundle / "provenance.json").read_bytes())
    statement["subject"][0]["digest"]["sha256"] = "0" * 64
    files = {
        path.name: path.read_bytes() for path in bundle.iterdir() if path.name not in ("manifest.json", "run.json")
    }
    files["provenance.json"] = json.dumps(statement).encode()
    (bundle / "provenance.json").write_bytes(files["provenance.json"])
    (bundle / "manifest.json").write_bytes(manifest_bytes(files))
    result = cli("verify", bundle)
    assert result.status == 5
    assert "file 'provenance.json' is not about the files of this bundle" in result.complaint[0]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["digits_cn.onnx", "--calib", "digits_calib.npz"], "models/digits_cnn.onnx'?"),
        (["digits_cnn.onnx", "--calib", "digits_calib.npz", "--method", "autoo"], "hint: did you mean 'auto'?"),
        (
            ["digits_cnn.onnx", "--calib", "digits_calib.npz", "--preprocess", "mean=[.1,.2]"],
            "hint: values of channels are separated by '/': mean=0.485/0.456/0.406",
        ),
        (
            ["digits_cnn.onnx", "--calib", "digits_calib.npz", "--preprocess", "resize=20,crop=16"],
            "hint: resize and crop made that of samples (8, 8, 1): other sizes, or none, may fit",
        ),
    ],
)
def test_hints_say_what_was_meant(
    cli: Callable, monkeypatch: pytest.MonkeyPatch, arguments: list[str], hint: str
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2] / "models")
    result = cli(*arguments, "--out", "/nowhere/at/all")
    assert result.status in (2, 4)
    assert hint in result.err
