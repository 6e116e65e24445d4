import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from snnconvert.errors import ModelError
from snnconvert.load.archive import write_archive
from snnconvert.load.asked import Asked
from snnconvert.load.torch_model import is_torch, read_torch

PATH = Path("net.pt")
ASKED = Asked(input_shape=(2, 8, 8))


def saved(value: Any, *, as_zip: bool = True, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=as_zip, pickle_protocol=protocol)
    return buffer.getvalue()


def refused(content: bytes, match: str, code: str) -> ModelError:
    with pytest.raises(ModelError, match=match) as caught:
        read_torch(PATH, content, ASKED).to_onnx()
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_weights_without_a_network_are_refused(small: nn.Module, as_zip: bool, protocol: int) -> None:
    content = saved(small.state_dict(), as_zip=as_zip, protocol=protocol)
    assert is_torch(content)
    problem = refused(content, r"net\.pt: weights only \(a state_dict\)", "E132")
    assert "load_state_dict" in str(problem.hint)
    assert len(str(problem.hint)) <= 200


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("trust", [False, True])
def test_pickled_network_is_refused(as_zip: bool, protocol: int, trust: bool) -> None:
    content = saved(nn.Sequential(nn.ReLU()), as_zip=as_zip, protocol=protocol)
    assert is_torch(content)
    with pytest.raises(ModelError, match="opening it would run code of its choice") as caught:
        read_torch(PATH, content, Asked(trust=trust))
    assert caught.value.code == "E132"
    assert "torch.onnx.export(model.eval()" in str(caught.value.hint)
    assert len(str(caught.value.hint)) <= 200


def test_other_archive_is_refused() -> None:
    buffer = io.BytesIO()
    write_archive({"a": b""}, buffer)
    refused(buffer.getvalue(), "a zip archive, but none of torch", "E101")


def test_torch_file_is_told_by_its_first_bytes(scripted: bytes, exported: bytes) -> None:
    assert is_torch(scripted)
    assert is_torch(exported)
    tar = io.BytesIO()
    tarfile.open(fileobj=tar, mode="w").close()
    for other in (b"", b"\x08\x08\x12\x07pytorch", b"P", b"\x80", b"\x89PNG\r\n", tar.getvalue()):
        assert not is_torch(other)


def test_conversion_says_and_writes_nothing(
    scripted: bytes, exported: bytes, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("TMPDIR", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for content in (scripted, exported):
        assert read_torch(PATH, content, ASKED).to_onnx()
    assert capfd.readouterr() == ("", "")
    assert os.listdir(tmp_path) == []  # noqa: PTH208
