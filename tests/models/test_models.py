"""The embedded networks and data are what models/README.md says they are."""

import hashlib
import importlib.util
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime as ort
import pytest

MODELS = Path(__file__).parents[2] / "models"
README = (MODELS / "README.md").read_text(encoding="utf-8")
FILES = {
    name: (int(size), digest)
    for name, size, digest in re.findall(
        r"^\| (digits_\w+\.\w+) \| (\d+) \| `([0-9a-f]{64})` \|$", README, re.MULTILINE
    )
}
ACCURACY = {
    name: (int(right), percent)
    for name, right, percent in re.findall(
        r"^\| (digits_\w+\.onnx) \| \d+ \| [^|]+ \| (\d+) \| (\d+\.\d\d) % \|$", README, re.MULTILINE
    )
}
NETWORKS = ("digits_mlp.onnx", "digits_cnn.onnx", "digits_resnet.onnx")
DATA = {"digits_calib.npz": 1197, "digits_test.npz": 600}
FLOOR = {"digits_mlp.onnx": 96.0, "digits_cnn.onnx": 98.0, "digits_resnet.onnx": 98.0}


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(MODELS / name, allow_pickle=False) as data:
        assert set(data.files) == {"images", "labels"}
        return data["images"], data["labels"]


def logits(path: Path, images: np.ndarray) -> np.ndarray:
    # the preprocessing is written out again here, from the README, not taken from the script
    x = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32) / 16
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["logits"], {"input": x})[0]


def nodes(name: str) -> list[onnx.NodeProto]:
    return list(onnx.load(MODELS / name).graph.node)


def ops(name: str) -> list[str]:
    return [node.op_type for node in nodes(name)]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("train_digits", MODELS / "train_digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)  # models/ travels in the wheel: leave nothing there
        spec.loader.exec_module(module)
    return module


def test_the_readme_lists_every_shipped_file():
    assert set(FILES) == {*NETWORKS, *DATA}
    assert set(ACCURACY) == set(NETWORKS)
    shipped = {path.name for path in MODELS.iterdir() if path.suffix in {".onnx", ".npz"}}
    assert shipped == set(FILES)


@pytest.mark.parametrize("name", [*NETWORKS, *DATA])
def test_size_and_checksum_are_the_readmes(name):
    data = (MODELS / name).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == FILES[name]
    assert len(data) < 300_000


@pytest.mark.parametrize("name", NETWORKS)
def test_accuracy_is_the_readmes_to_the_sample(name):
    images, labels = load("digits_test.npz")
    got = logits(MODELS / name, images)
    right, percent = ACCURACY[name]
    assert (got.argmax(1) == labels).sum() == right
    assert f"{100 * right / len(labels):.2f}" == percent
    assert float(percent) >= FLOOR[name]
    # no image is so close to a tie that another processor's rounding could change the count
    best, second = np.sort(got, axis=1)[:, :-3:-1].T
    assert (best - second).min() > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_is_valid_onnx_with_a_dynamic_batch(name):
    model = onnx.load(MODELS / name)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    (given,), (result,) = model.graph.input, model.graph.output
    assert (given.name, result.name) == ("input", "logits")
    for value, shape in ((given, (1, 8, 8)), (result, (10,))):
        batch, *rest = value.type.tensor_type.shape.dim
        assert batch.dim_param
        assert tuple(dim.dim_value for dim in rest) == shape

    images, _ = load("digits_test.npz")
    together = logits(MODELS / name, images[:7])
    alone = np.concatenate([logits(MODELS / name, images[i : i + 1]) for i in range(7)])
    assert together.shape == (7, 10)
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_carries_no_trace_of_the_machine(name):
    model = onnx.load(MODELS / name)
    assert model.producer_name == "snnconvert train_digits.py"
    assert not model.metadata_props
    assert not model.doc_string
    assert not model.graph.doc_string
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert not any(weight.external_data for weight in model.graph.initializer)


def test_the_mlp_is_linear_and_relu():
    assert ops("digits_mlp.onnx") == ["Flatten", "Gemm", "Relu", "Gemm", "Relu", "Gemm"]


def test_the_cnn_keeps_batch_norm_and_pools_by_maximum():
    block = ["Conv", "BatchNormalization", "Relu"]
    assert ops("digits_cnn.onnx") == [
        *block, *block, "MaxPool", *block, "MaxPool", "Flatten", "Gemm", "Relu", "Gemm",
    ]  # fmt: skip


def test_the_resnet_has_an_identity_and_a_strided_projection_shortcut():
    graph = nodes("digits_resnet.onnx")
    made_by = {node.output[0]: node for node in graph}
    read_by = {name: node for node in graph for name in node.input}
    first, second = (node for node in graph if node.op_type == "Add")

    # the sum's first input ends the block's body, its second input the shortcut
    assert made_by[first.input[0]].op_type == "BatchNormalization"
    assert made_by[first.input[1]].op_type == "Relu"
    norm = made_by[second.input[1]]
    assert norm.op_type == "BatchNormalization"
    projection = made_by[norm.input[0]]
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in projection.attribute}
    assert projection.op_type == "Conv"
    assert attributes["strides"] == [2, 2]
    assert attributes["kernel_shape"] == [1, 1]

    assert all(read_by[add.output[0]].op_type == "Relu" for add in (first, second))
    assert [node.op_type for node in graph][-3:] == ["GlobalAveragePool", "Flatten", "Gemm"]
    assert ops("digits_resnet.onnx").count("BatchNormalization") == ops("digits_resnet.onnx").count("Conv") == 6


@pytest.mark.parametrize("name", ["digits_cnn.onnx", "digits_resnet.onnx"])
def test_batch_norm_is_not_the_identity(name):
    model = onnx.load(MODELS / name)
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            gamma, beta, mean, var = (weights[i] for i in node.input[1:])
            assert (var > 0).all()
            assert np.abs(gamma / np.sqrt(var) - 1).max() > 0.1
            assert np.abs(beta).max() > 0.01
            assert np.abs(mean).max() > 0.01


@pytest.mark.parametrize("name", DATA)
def test_the_data_is_uint8_0_to_16_with_every_class(name):
    images, labels = load(name)
    assert images.shape == (DATA[name], 8, 8, 1)
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 16)
    assert labels.shape == (DATA[name],)
    assert labels.dtype == np.int64
    shares = np.bincount(labels, minlength=10) / len(labels)
    assert shares.shape == (10,)
    assert np.abs(shares - 0.1).max() < 0.005  # stratified
    with zipfile.ZipFile(MODELS / name) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_no_image_occurs_twice_on_one_side_or_both():
    seen = [image.tobytes() for name in DATA for image in load(name)[0]]
    assert len(seen) == 1797
    assert len(set(seen)) == 1797


def test_the_two_files_are_scikit_learns_digits_all_of_them():
    bunch = pytest.importorskip("sklearn.datasets").load_digits()
    want = sorted(
        (image.astype(np.uint8).tobytes(), int(y)) for image, y in zip(bunch.images, bunch.target, strict=True)
    )
    got = [(image.tobytes(), int(y)) for name in DATA for image, y in zip(*load(name), strict=True)]
    assert sorted(got) == want


def test_the_script_writes_the_data_files_byte_for_byte(script, tmp_path):
    for name, digits in zip(DATA, script.load_split(), strict=True):
        script.save_digits(tmp_path / name, digits)
        assert (tmp_path / name).read_bytes() == (MODELS / name).read_bytes()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_script_exports_what_torch_computes(script, tmp_path, name):
    training, _ = script.load_split()
    few = training.pick(np.arange(200))
    stem = name.removesuffix(".onnx")
    net = script.train(stem, few, epochs=1, shifted=0.5, seed=3)
    first, second = (script.to_onnx(net, stem).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    path = tmp_path / name
    path.write_bytes(first)
    np.testing.assert_allclose(logits(path, few.images), script.torch_logits(net, few), rtol=0, atol=1e-4)
    assert [node.op_type for node in onnx.load(path).graph.node] == ops(name)


def test_training_moves_only_the_asked_share_by_at_most_one_pixel(script):
    torch = script.torch
    x = torch.zeros(4000, 1, 8, 8)
    x[:, 0, 3, 4] = 1
    assert torch.equal(script.shift(x, 0.0, torch.Generator().manual_seed(1)), x)
    moved = script.shift(x, 0.5, torch.Generator().manual_seed(1))
    n, _, row, column = moved.nonzero().T
    assert n.tolist() == list(range(4000))
    assert set(zip(row.tolist(), column.tolist(), strict=True)) == {(r, c) for r in (2, 3, 4) for c in (3, 4, 5)}
    changed = float(((row != 3) | (column != 4)).float().mean())
    assert changed == pytest.approx(0.5 * 8 / 9, abs=0.04)  # one shift in nine is none


def test_the_readme_is_changed_between_the_marks_only(script, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"a\n{script.BEGIN}\nold\n{script.END}\nb\n", encoding="utf-8")
    script.put_into_readme(path, r"new \1")
    assert path.read_text(encoding="utf-8") == f"a\n{script.BEGIN}\nnew \\1\n{script.END}\nb\n"
    path.write_text("no marks\n", encoding="utf-8")
    with pytest.raises(ValueError, match="must be there once"):
        script.put_into_readme(path, "new")
    assert path.read_text(encoding="utf-8") == "no marks\n"


@pytest.mark.slow
def test_made_again_from_scratch_the_networks_reach_the_floor(tmp_path):
    pytest.importorskip("sklearn")
    command = [sys.executable, str(MODELS / "train_digits.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True, timeout=900, capture_output=True)
    images, labels = load("digits_test.npz")
    for name in DATA:
        assert (tmp_path / name).read_bytes() == (MODELS / name).read_bytes()
    for name in NETWORKS:
        # not the README's count: another processor's sums train slightly different weights
        assert 100 * (logits(tmp_path / name, images).argmax(1) == labels).mean() >= FLOOR[name]
