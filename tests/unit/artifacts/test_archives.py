"""Archives that would do harm are refused before anyone unpacks them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Literal

import pytest

from thalweg.artifacts.content import check_content, describe_content, guess_type
from thalweg.artifacts.content.members import MAX_MEMBERS, Kind, Members
from thalweg.errors import RejectedError

Mode = Literal["w:", "w:gz"]


def tar(path: Path, *entries: tuple[str, bytes, bytes, str], mode: Mode = "w:gz") -> Path:
    """A tar of (name, type, content, link target)."""
    with tarfile.open(path, mode) as out:
        for name, kind, content, target in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = kind, len(content), target
            out.addfile(entry, io.BytesIO(content))
    return path


def refused(path: Path, kind: str = "archive") -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        check_content(path, kind)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("mode", ["w:", "w:gz"])
def test_a_tar_is_described(tmp_path: Path, mode: Mode) -> None:
    path = tar(
        tmp_path / "x",
        ("lib", tarfile.DIRTYPE, b"", ""),
        ("lib/a.so.1", tarfile.REGTYPE, b"abc", ""),
        ("lib/a.so", tarfile.SYMTYPE, b"", "a.so.1"),
        ("lib/a", tarfile.SYMTYPE, b"", "../lib/a.so"),
        ("b", tarfile.LNKTYPE, b"", "lib/a.so.1"),
        mode=mode,
    )
    check_content(path, "archive")
    form = "tar.gz" if mode == "w:gz" else "tar"
    assert describe_content(path, "archive") == {"format": form, "member_count": 5, "unpacked_bytes": 3}
    assert guess_type(path) == "archive"


def test_a_zip_is_described(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a/b.txt", "abc")
    check_content(tmp_path / "x", "archive")
    assert describe_content(tmp_path / "x", "archive") == {"format": "zip", "member_count": 1, "unpacked_bytes": 3}


@pytest.mark.parametrize(
    "entries",
    [
        [("/etc/passwd", tarfile.REGTYPE, b"", "")],
        [("../x", tarfile.REGTYPE, b"", "")],
        [("a/../../x", tarfile.REGTYPE, b"", "")],
        [("a\\..\\..\\x", tarfile.REGTYPE, b"", "")],
        [("C:\\x", tarfile.REGTYPE, b"", "")],
        [("a", tarfile.SYMTYPE, b"", "/etc")],
        [("a", tarfile.SYMTYPE, b"", "../etc")],
        [("a/b", tarfile.SYMTYPE, b"", "x/../../../etc")],
        [("a", tarfile.LNKTYPE, b"", "/etc/passwd")],
        [("a", tarfile.LNKTYPE, b"", "../x")],
        [("a", tarfile.CHRTYPE, b"", "")],
        [("a", tarfile.FIFOTYPE, b"", "")],
        [("a", tarfile.SYMTYPE, b"", "."), ("a/x", tarfile.REGTYPE, b"", "")],
        [("a/x", tarfile.REGTYPE, b"", ""), ("a", tarfile.SYMTYPE, b"", ".")],
        [("a", tarfile.SYMTYPE, b"", "b"), ("a", tarfile.REGTYPE, b"", "")],
        [("d/a", tarfile.SYMTYPE, b"", ".."), ("d/b", tarfile.SYMTYPE, b"", "a/x")],
    ],
)
def test_a_member_that_leads_out_is_refused(tmp_path: Path, entries: list[tuple[str, bytes, bytes, str]]) -> None:
    assert refused(tar(tmp_path / "x", *entries)).code == "file.unsafe"


@pytest.mark.parametrize(
    ("name", "mode", "content"), [("../x", 0o100644, "x"), ("/x", 0o100644, "x"), ("a", 0o120777, "/etc"), ("a", 0o020644, "")]
)
def test_a_zip_member_that_leads_out_is_refused(tmp_path: Path, name: str, mode: int, content: str) -> None:
    with zipfile.ZipFile(tmp_path / "x", "w") as out:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        out.writestr(entry, content)
    assert refused(tmp_path / "x").code == "file.unsafe"


def test_bombs_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("zeros", bytes(80 << 20))
    assert "times its size" in str(refused(tmp_path / "bomb.zip"))
    assert "times its size" in str(refused(tar(tmp_path / "bomb.tgz", ("zeros", tarfile.REGTYPE, bytes(80 << 20), ""))))


@pytest.mark.parametrize("name", ["x.zip", "x.tgz", "x.tar"])
def test_a_cut_archive_is_refused(tmp_path: Path, name: str) -> None:
    path, noise = tmp_path / name, bytes(range(256)) * 400
    if name == "x.zip":
        with zipfile.ZipFile(path, "w") as out:
            out.writestr("a", noise)
    else:
        tar(path, ("a", tarfile.REGTYPE, noise, ""), mode="w:gz" if name == "x.tgz" else "w:")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert refused(path).code == "file.content_mismatch"


def test_a_tar_header_that_states_a_huge_size_is_not_read(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("pax")
    entry.type, entry.size = tarfile.XHDTYPE, 1 << 32
    (tmp_path / "x").write_bytes(entry.tobuf() + bytes(4096))
    assert refused(tmp_path / "x").code == "file.unsafe"


@pytest.mark.parametrize("packed", ["tar", "zip"])
def test_a_packed_model_repository_is_refused_with_the_way_out(tmp_path: Path, packed: str) -> None:
    path = tmp_path / "models"
    if packed == "tar":
        tar(path, ("iris/config.pbtxt", tarfile.REGTYPE, b"x", ""))
    else:
        with zipfile.ZipFile(path, "w") as out:
            out.writestr("iris/config.pbtxt", "x")
    error = refused(path, "model-repository")
    assert (error.code, error.hint) == ("file.packed_repository", "unpack it and put the directory")


@pytest.mark.parametrize(("earlier", "size_bytes", "kind"), [(MAX_MEMBERS, 0, "file"), (0, 1 << 40, "file"), (0, 0, "special")])
def test_members_are_bounded(earlier: int, size_bytes: int, kind: Kind) -> None:
    members = Members(1 << 40, count=earlier)
    with pytest.raises(RejectedError) as caught:
        members.take("one more", kind, size_bytes)
    assert caught.value.code == "file.unsafe"
