import io
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from snnconvert.errors import ModelError
from snnconvert.load import archive
from snnconvert.load.archive import read_archive, write_archive

PATH = Path("net.pt")
MEMBERS = {"data.pkl": b"abc", "code/net.py": b"pass\n" * 300, "data/0": bytes(range(256))}


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as written:
        warnings.simplefilter("ignore")  # of two members with one name
        for name, data in entries:
            written.writestr(name, data, method)
    return buffer.getvalue()


def written(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    write_archive(members, buffer)
    return buffer.getvalue()


def refused(content: bytes, match: str) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        read_archive(PATH, content)
    assert caught.value.code == "E133"
    assert caught.value.exit_status == 3


def test_what_is_written_is_read() -> None:
    assert read_archive(PATH, written(MEMBERS)) == MEMBERS


def test_members_stand_where_the_writer_says_at_a_multiple_of_64_bytes() -> None:
    buffer = io.BytesIO()
    places = write_archive(MEMBERS, buffer)
    assert [buffer.getvalue()[offset : offset + size] for offset, size in places] == list(MEMBERS.values())
    assert all(offset % 64 == 0 for offset, _ in places)
    with zipfile.ZipFile(buffer) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"archive/{name}" for name in MEMBERS]


def test_deflated_members_are_read() -> None:
    assert read_archive(PATH, zipped(("net/a", b"x" * 9999), ("net/b/c", b""))) == {"a": b"x" * 9999, "b/c": b""}


def test_members_of_no_common_folder_keep_their_names() -> None:
    assert set(read_archive(PATH, zipped(("version", b"1"), ("net/b", b"")))) == {"version", "net/b"}


def test_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    content = zipped(("net/0", bytes(50 * 2**20)))
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    refused(content, r"member 'net/0' unpacks \d+ bytes to 52428800")


def test_many_members_that_are_large_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    refused(zipped(("net/0", bytes(600)), ("net/1", bytes(600))), "unpack to 1200 bytes, more than 1000")


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 1)
    refused(zipped(("net/0", b""), ("net/1", b"")), "2 members, more than 1")


def test_duplicate_member_is_refused() -> None:
    refused(zipped(("net/0", b"good"), ("net/0", b"evil")), "member 'net/0' is there twice")


@pytest.mark.parametrize("name", ["../evil", "net/../../evil", "/etc/evil", "net\\evil"])
def test_member_outside_is_refused(name: str) -> None:
    refused(zipped((name, b"")), "leaves the archive")


def test_symlink_is_refused() -> None:
    link = zipfile.ZipInfo("net/0")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(zipped((link, b"/etc/passwd")), "member 'net/0' is no plain file")


def test_encrypted_member_is_refused() -> None:
    content = bytearray(zipped(("net/0", b"abc")))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    refused(bytes(content), "member 'net/0' is encrypted")


def test_unknown_compression_is_refused() -> None:
    refused(zipped(("net/0", b"abc"), method=zipfile.ZIP_BZIP2), "compression method 12 is not supported")


def test_wrong_checksum_is_refused() -> None:
    content = zipped(("net/0", b"abcdef"), method=zipfile.ZIP_STORED)
    refused(content.replace(b"abcdef", b"abcdeg"), "Bad CRC-32")


@pytest.mark.parametrize(("offset", "form"), [(8, "<H"), (14, "<I"), (18, "<I"), (22, "<I"), (30, "<B")])
def test_local_header_that_differs_is_refused(offset: int, form: str) -> None:
    content = bytearray(zipped(("net/0", b"abcdef"), method=zipfile.ZIP_STORED))
    struct.pack_into(form, content, offset, struct.unpack_from(form, content, offset)[0] ^ 1)
    refused(bytes(content), "its header differs from the archive's directory")


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_truncated_archive_is_refused(cut: int) -> None:
    refused(written(MEMBERS)[:-cut], "not a sound zip archive")


def test_directory_that_points_outside_is_refused() -> None:
    content = bytearray(zipped(("net/0", b"abc")))
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 42, 2**31)
    refused(bytes(content), "not a sound zip archive")


def test_many_small_members_that_unpack_to_much_are_refused() -> None:
    content = zipped(*((f"net/{number}", bytes(2**20)) for number in range(200)))
    refused(content, r"its \d+ bytes unpack to 209715200")
