"""verify_bundle names the first file that is not as it was written."""

import json
import os
from pathlib import Path

import pytest

from snnconvert.errors import InternalError, OutputError, UsageError
from snnconvert.report.manifest import ManifestEntry, read_manifest, verify_bundle
from snnconvert.report.publish import publish

FILES = {"metrics.json": b"{}\n", "snn.onnx": b"\x08\x08" * 500, "report.html": b"<p>"}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    publish(tmp_path / "a_snn", FILES, b'{"seconds": 1.5}', force=False)
    return tmp_path / "a_snn"


def test_missing_directory_is_a_wrong_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"E001.*no such directory"):
        verify_bundle(tmp_path / "nothing")


def test_directory_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"E001.*no manifest\.json"):
        verify_bundle(tmp_path)


def test_manifest_of_another_program_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"manifest_version": 3}')
    with pytest.raises(UsageError, match=r"E001.*not written by snnconvert"):
        verify_bundle(tmp_path)


def test_pipe_as_manifest_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(UsageError, match=r"E001.*no bundle"):
        verify_bundle(tmp_path)


def test_manifest_of_a_later_version_is_told_apart(bundle: Path) -> None:
    (bundle / "manifest.json").write_text('{"schema": "snnconvert/manifest/2", "files": {}}')
    with pytest.raises(UsageError, match=r"E001.*manifest/2.*expected"):
        verify_bundle(bundle)


@pytest.mark.parametrize("name", sorted(FILES))
def test_flipped_byte_is_found(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(OutputError, match=rf"E403.*'{name}' has changed"):
        verify_bundle(bundle)


def test_appended_byte_is_found(bundle: Path) -> None:
    with (bundle / "snn.onnx").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(OutputError, match=r"E403.*'snn\.onnx' has 1001 bytes, expected 1000"):
        verify_bundle(bundle)


def test_missing_file_is_found(bundle: Path) -> None:
    (bundle / "report.html").unlink()
    with pytest.raises(OutputError, match=r"E403.*'report\.html' is missing"):
        verify_bundle(bundle)


@pytest.mark.parametrize("name", ["extra.txt", ".hidden", "\x1b[2J"])
def test_extra_file_is_found(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"")
    with pytest.raises(OutputError, match=r"E403.*is not in the manifest") as caught:
        verify_bundle(bundle)
    assert str(caught.value).isprintable()


def test_extra_directory_is_found(bundle: Path) -> None:
    (bundle / "cache").mkdir()
    with pytest.raises(OutputError, match=r"E403.*'cache' is not in the manifest"):
        verify_bundle(bundle)


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_link_and_pipe_in_place_of_a_file_are_found(bundle: Path, tmp_path: Path, kind: str) -> None:
    file = bundle / "snn.onnx"
    file.rename(tmp_path / "moved")
    if kind == "link":
        file.symlink_to(tmp_path / "moved")
    else:
        os.mkfifo(file)
    with pytest.raises(OutputError, match=r"E403.*'snn\.onnx' is not a regular file"):
        verify_bundle(bundle)


@pytest.mark.parametrize(
    "files",
    [
        None,
        [],
        {"../outside": {"size": 1, "sha256": "0" * 64}},
        {"/etc/passwd": {"size": 1, "sha256": "0" * 64}},
        {"manifest.json": {"size": 1, "sha256": "0" * 64}},
        {"a": {"size": "1", "sha256": "0" * 64}},
        {"a": {"size": True, "sha256": "0" * 64}},
        {"a": {"size": 1, "sha256": "0"}},
        {"a": 1},
    ],
)
def test_damaged_manifest_is_refused(bundle: Path, files: object) -> None:
    (bundle / "manifest.json").write_text(json.dumps({"schema": "snnconvert/manifest/1", "files": files}))
    with pytest.raises(OutputError, match=r"E403.*manifest\.json"):
        read_manifest(bundle)


@pytest.mark.parametrize("content", [b"", b"\xff", b"{", b"[" * 100_000, b"[]"])
def test_manifest_that_is_no_json_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / "manifest.json").write_bytes(content)
    with pytest.raises(OutputError, match=r"E403.*manifest\.json"):
        verify_bundle(bundle)


@pytest.mark.parametrize("name", ["../x", "a/b", ".lock", "", "manifest.json", "run.json", "a\nb", "x" * 101])
def test_file_names_that_no_bundle_holds_are_our_bug(tmp_path: Path, name: str) -> None:
    with pytest.raises(InternalError, match="E901"):
        publish(tmp_path / "a_snn", {name: b""}, b"{}", force=False)
    assert not list(tmp_path.iterdir())


def test_whole_bundle_verifies(bundle: Path) -> None:
    verify_bundle(bundle)
    entries = read_manifest(bundle)
    assert sorted(entries) == sorted(FILES)
    assert entries["snn.onnx"] == ManifestEntry(1000, entries["snn.onnx"].sha256)


def test_run_record_may_change_or_be_absent(bundle: Path) -> None:
    (bundle / "run.json").write_bytes(b"{}")
    verify_bundle(bundle)
    (bundle / "run.json").unlink()
    verify_bundle(bundle)
