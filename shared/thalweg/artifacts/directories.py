"""The canonical tar of a directory: the same names, bytes and executable bits give the same tar."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path
from typing import BinaryIO

from thalweg.errors import RejectedError

# In a global header, not in a member: it tells a directory from a tar file that someone stored as a file.
_MARK = {"thalweg.directory": "1"}


def write_tar(directory: Path, stream: BinaryIO) -> None:
    """Write the canonical tar of a directory: uncompressed, sorted, without times and owners; needs only `write` of the stream.

    Raises:
        RejectedError: it holds a symbolic link, device, socket or pipe, or a name that is not UTF-8 (`artifact.not_storable`).
    """
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, pax_headers=_MARK, encoding="utf-8") as tar:
        for path in sorted(directory.rglob("*"), key=lambda path: path.relative_to(directory).parts):
            _add(tar, path, path.relative_to(directory).as_posix())


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise RejectedError(f"{name!r}: the name is not UTF-8", code="artifact.not_storable") from None
    status = path.lstat()
    entry = tarfile.TarInfo(name)
    if stat.S_ISDIR(status.st_mode):
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
    elif stat.S_ISREG(status.st_mode):
        entry.size, entry.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
        with path.open("rb") as content:
            tar.addfile(entry, content)
    else:
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "neither a file nor a directory"
        raise RejectedError(f"{path}: {kind} cannot be stored", code="artifact.not_storable", path=str(path))


def is_directory_tar(path: Path) -> bool:
    """Whether a file is the canonical tar of a directory, and not a file that happens to be a tar."""
    try:
        with tarfile.open(path, mode="r:") as tar:
            return tar.pax_headers.get("thalweg.directory") == "1"
    except tarfile.TarError:
        return False


def extract_tar(path: Path, target: Path) -> None:
    """Unpack a canonical tar into a new directory.

    Raises:
        RejectedError: a member is no file or directory, or would leave the target (`artifact.unsafe`).
    """
    target.mkdir(parents=True)
    try:
        with tarfile.open(path, mode="r:") as tar:
            for entry in tar:
                if not (entry.isreg() or entry.isdir()) or entry.issparse():
                    raise RejectedError(f"{entry.name}: neither a file nor a directory", code="artifact.unsafe")
                tar.extract(entry, target, set_attrs=True, filter="data")
    except tarfile.FilterError as error:
        raise RejectedError(str(error), code="artifact.unsafe") from error
