"""Where a bundle must not go is said before any work is done."""

import os
from pathlib import Path

import pytest

from snnconvert.errors import OutputError
from snnconvert.report.publish import check_destination, publish

FILES = {"metrics.json": b"{}\n", "snn.onnx": b"\x08\x08" * 500}


def test_existing_bundle_is_refused_without_force(tmp_path: Path) -> None:
    publish(tmp_path / "a_snn", FILES, b"{}", force=False)
    with pytest.raises(OutputError, match=r"E401.*a_snn: exists already") as caught:
        check_destination(tmp_path / "a_snn", force=False)
    assert "--force" in str(caught.value.hint)
    assert "--out" in str(caught.value.hint)
    assert caught.value.exit_status == 5


def test_existing_bundle_is_accepted_with_force(tmp_path: Path) -> None:
    publish(tmp_path / "a_snn", FILES, b"{}", force=False)
    check_destination(tmp_path / "a_snn", force=True)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("manifest", [None, b"", b"[]", b"{", b'{"manifest_version": 3}', b"[" * 100_000])
def test_directory_that_is_no_bundle_is_never_replaced(tmp_path: Path, force: bool, manifest: bytes | None) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "holiday.jpg").write_bytes(b"precious")
    if manifest is not None:
        (photos / "manifest.json").write_bytes(manifest)
    with pytest.raises(OutputError, match=r"E401.*is no bundle") as caught:
        check_destination(photos, force)
    assert "--force" not in str(caught.value.hint)
    with pytest.raises(OutputError, match=r"E401.*is no bundle"):
        publish(photos, FILES, b"{}", force)
    assert (photos / "holiday.jpg").read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize("force", [False, True])
def test_file_is_refused(tmp_path: Path, force: bool) -> None:
    (tmp_path / "a_snn").write_bytes(b"")
    with pytest.raises(OutputError, match=r"E401.*is a file"):
        check_destination(tmp_path / "a_snn", force)


@pytest.mark.parametrize("force", [False, True])
def test_symbolic_link_is_refused(tmp_path: Path, force: bool) -> None:
    publish(tmp_path / "real", FILES, b"{}", force=False)
    (tmp_path / "latest").symlink_to("real")
    with pytest.raises(OutputError, match=r"E401.*symbolic link"):
        check_destination(tmp_path / "latest", force)


def test_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_bytes(b"")
    with pytest.raises(OutputError, match=r"E401.*note\.txt' is not a directory"):
        check_destination(tmp_path / "note.txt" / "deep" / "a_snn", force=False)


def test_parent_that_is_not_writable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as root every directory is writable
    with pytest.raises(OutputError, match=r"E401.*is not writable"):
        check_destination(tmp_path / "a_snn", force=False)


def test_long_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"E401.*too long"):
        check_destination(tmp_path / ("é" * 128), force=False)


def test_nul_in_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"E401.*NUL"):
        check_destination(tmp_path / "a\0b", force=False)


def test_path_longer_than_the_system_takes_is_one_line(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 200] * 30)
    with pytest.raises(OutputError, match=r"E401.*File name too long"):
        check_destination(deep, force=False)
    with pytest.raises(OutputError, match=r"E402.*File name too long"):
        publish(deep, FILES, b"{}", force=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["/", ".", ".."])
def test_root_and_here_are_refused(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="E401"):
        check_destination(Path(place), force=True)


def test_missing_parents_are_no_reason_to_refuse(tmp_path: Path) -> None:
    check_destination(tmp_path / "runs" / "today" / "a_snn", force=False)
    assert not list(tmp_path.iterdir())


def test_hostile_name_is_shown_harmless(tmp_path: Path) -> None:
    place = tmp_path / "\x1b[31mred\n"
    place.mkdir()
    with pytest.raises(OutputError, match="E401") as caught:
        check_destination(place, force=False)
    assert str(caught.value).isprintable()
