"""Archives: tar, tar.gz and zip, read through in bounded memory before anyone unpacks them."""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from thalweg.artifacts.content.faults import Facts, mismatch, unsafe
from thalweg.artifacts.content.members import Kind, Members
from thalweg.artifacts.digests import blocks_of
from thalweg.errors import RejectedError

_MAX_HEADER_BYTES = 1 << 20
_MAX_DIRECTORY_BYTES = 64 << 20
_MAX_COMMENT_BYTES = 1 << 16
_MAX_PADDING_BLOCKS = 64
_ENCRYPTED = 0x1
_FAULTS = (tarfile.TarError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, EOFError, NotImplementedError, RuntimeError, ValueError)


def check_archive(path: Path) -> None:
    """Refuse what is damaged, or has members that would go elsewhere, are devices, or are too many or too large."""
    describe_archive(path)


def describe_archive(path: Path) -> Facts:
    """Format, number of members, and bytes when unpacked."""
    form = archive_format(path)
    if form is None:
        raise mismatch(path.name, "no archive", "tar, tar.gz or zip")
    members = Members(path.stat().st_size)
    try:
        if form == "zip":
            _read_zip(path, members)
        else:
            _read_tar(path, members, packed=form == "tar.gz")
    except _FAULTS as error:
        raise mismatch(path.name, f"a damaged {form}: {error}") from None
    members.finish()
    return {"format": form, "member_count": members.count, "unpacked_bytes": members.unpacked_bytes}


def archive_format(path: Path) -> str | None:
    """`tar`, `tar.gz` or `zip`, by the first bytes; None for anything else."""
    with path.open("rb") as stream:
        head = stream.read(tarfile.BLOCKSIZE)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head[257:262] == b"ustar":
        return "tar"
    if not head.startswith(b"\x1f\x8b"):
        return None
    try:
        with gzip.open(path) as unpacked:
            return "tar.gz" if unpacked.read(tarfile.BLOCKSIZE)[257:262] == b"ustar" else None
    except (OSError, EOFError, zlib.error):
        return None


class _Bounded:
    """A stream whose single reads are bounded: tar headers state their own size, and tarfile would read it at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        """As of a file."""
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise unsafe("archive", f"a header of {size} bytes")
        return self._stream.read(size)

    def seek(self, offset: int) -> int:
        """As of a file, forward only; decompresses what it passes, so that damage is found."""
        return self._stream.seek(offset)


def _read_tar(path: Path, members: Members, *, packed: bool) -> None:
    with cast(BinaryIO, gzip.open(path) if packed else path.open("rb")) as stream:
        with tarfile.open(fileobj=cast(BinaryIO, _Bounded(stream)), mode="r:") as tar:
            while (entry := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep them all
                if entry.issparse():
                    raise unsafe(entry.name, "a sparse file")
                members.take(entry.name, _tar_kind(entry), entry.size, entry.linkname)
        for index, _ in enumerate(blocks_of(stream)):  # gzip's checksum is at the end
            if index > _MAX_PADDING_BLOCKS:
                raise unsafe("archive", "goes on behind the end of the tar")


def _tar_kind(entry: tarfile.TarInfo) -> Kind:
    if entry.isreg():
        return "file"
    return "directory" if entry.isdir() else "symlink" if entry.issym() else "hardlink" if entry.islnk() else "special"


def _read_zip(path: Path, members: Members) -> None:
    _check_directory_size(path)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        for entry in entries:
            if entry.flag_bits & _ENCRYPTED:
                raise mismatch(entry.filename, "encrypted")
            mode = entry.external_attr >> 16
            link = _link_target(archive, entry) if stat.S_ISLNK(mode) else ""
            members.take(entry.orig_filename, _zip_kind(entry, mode), entry.file_size, link)
        for entry in entries:
            with archive.open(entry) as content:
                for _ in blocks_of(cast(BinaryIO, content)):
                    pass  # zipfile compares size and checksum at the end


def _zip_kind(entry: zipfile.ZipInfo, mode: int) -> Kind:
    if stat.S_ISLNK(mode):
        return "symlink"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "special"
    return "directory" if entry.is_dir() else "file"


def _link_target(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    if entry.file_size > _MAX_HEADER_BYTES:
        raise unsafe(entry.filename, "a link of that length")
    return archive.read(entry).decode(errors="surrogateescape")


def _check_directory_size(path: Path) -> None:
    """Refuse a zip whose list of members alone is huge: zipfile reads it whole. Source: APPNOTE 6.3.10, 4.3.14 and 4.3.16."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _MAX_COMMENT_BYTES - 22))
        tail = stream.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0:
            raise mismatch(path.name, "a damaged zip: it ends early")
        size_bytes = int.from_bytes(tail[at + 12 : at + 16], "little")
        if tail[at - 20 : at - 16] == b"PK\x06\x07":
            stream.seek(int.from_bytes(tail[at - 12 : at - 4], "little") + 40)
            size_bytes = int.from_bytes(stream.read(8), "little")
    if size_bytes > _MAX_DIRECTORY_BYTES:
        raise RejectedError(f"{path.name}: a list of members of {size_bytes} bytes", code="file.unsafe", path=str(path))
