"""The source archive of a release: one canonical tar of a folder, so that the same files have the same digest."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from thalweg.errors import RejectedError
from thalweg.published.requirements import REQUIREMENTS

MAX_BYTES = 20_000_000
MAX_FILE_BYTES = 5_000_000
MAX_FILES = 1_000
MAX_NAME = 255
_COMPILED = frozenset({".pyc", ".pyo", ".pyd", ".so", ".dll", ".dylib"})
_LEFT_OUT = frozenset({"__pycache__", "venv", "node_modules", "build", "dist"})


def pack(folder: Path) -> bytes:
    """The archive of a folder: regular files sorted by name, without times, owners and modes.

    Hidden files, compiled code and folders of tools (`__pycache__`, `venv`, `build`, …) are left out.

    Raises:
        RejectedError: `release.archive`: no folder, a symbolic link or special file in it, too large, too many files.
    """
    if not folder.is_dir():
        raise _refused(f"{folder} is not a folder")
    return _pack([(name, _content(folder / name, name)) for name in _bounded(_names(folder), str(folder))])


def unpack(archive: bytes, folder: Path) -> None:
    """Writes the files of an archive that anyone may have made into a new folder.

    Raises:
        RejectedError: `release.archive`: not what `pack` makes, bit for bit; nothing is written then.
    """
    if len(archive) > 2 * MAX_BYTES:
        raise _refused(f"{len(archive):,} bytes; {MAX_BYTES:,} are allowed")
    files = _read(archive)
    if _pack(files) != archive:
        raise _refused("not in canonical form", "`thalweg component publish` packs it")
    folder.mkdir(parents=True)
    for name, content in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def content_digest(source_digest: str, folder: Path) -> str:
    """The digest that a release is pinned by: its code's, and with it that of the requirements and data files, where there are any."""
    others = [name for name in _names(folder) if not name.endswith(".py") and not _is_note(name)]
    digest = hashlib.sha256(f"{source_digest}\0".encode())
    kept = False
    for name in others:
        content = (folder / name).read_bytes()
        if name == REQUIREMENTS and not _has_lines(content):
            continue
        kept = True
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return f"sha256:{digest.hexdigest()}" if kept else source_digest


class Sources:
    """Unpacked archives on this machine, by archive id; several processes may share the folder.

    Args:
        fetch: local path of an archive by its id, its digest checked.
        folder: where they are unpacked.
    """

    def __init__(self, fetch: Callable[[str], Path], folder: Path) -> None:
        self._fetch, self._folder = fetch, folder

    def folder_of(self, archive: str) -> Path:
        """The folder of an archive's files, checked against its id each time; blocking, idempotent.

        Raises:
            RejectedError: `release.archive`, or what `fetch` raises.
        """
        target = self._folder / archive.removeprefix("sha256:")
        if _holds(target, archive):
            return target
        path = self._fetch(archive)
        if not path.is_file():
            raise _refused("a folder was stored under that id, and no archive")
        content = path.read_bytes()
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != archive:
            raise _refused(f"its bytes are not those of {archive}")
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=self._folder) as scratch:
            unpack(content, Path(scratch) / "files")
            self._move(Path(scratch) / "files", target, archive)
        return target

    def _move(self, source: Path, target: Path, archive: str) -> None:
        if target.exists() and not _holds(target, archive):
            shutil.rmtree(target)
        try:
            os.replace(source, target)
        except OSError:  # another process was faster; it wrote the same
            if not _holds(target, archive):
                raise


def _holds(folder: Path, archive: str) -> bool:
    try:
        return folder.is_dir() and f"sha256:{hashlib.sha256(pack(folder)).hexdigest()}" == archive
    except (RejectedError, OSError):
        return False


def _names(folder: Path) -> list[str]:
    """Names of the files that belong into the archive, sorted."""
    found: list[str] = []
    for root, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if _is_wanted(one)]
        for name in [*folders, *filter(_is_wanted, files)]:
            path = Path(root, name)
            mode = path.lstat().st_mode
            relative = path.relative_to(folder).as_posix()
            if stat.S_ISREG(mode):
                found.append(relative)
            elif not stat.S_ISDIR(mode):
                kind = "a symbolic link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
                raise _refused(f"{relative}: {kind}", "put the file itself there")
    return sorted(found)


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    return not (name.startswith(".") or name in _LEFT_OUT or path.suffix in _COMPILED or name.endswith(".egg-info"))


def _is_note(name: str) -> bool:
    return "/" not in name and name.upper().startswith(("README", "LICENSE", "CHANGELOG"))


def _has_lines(content: bytes) -> bool:
    return any(line.strip() and not line.strip().startswith(b"#") for line in content.splitlines())


def _bounded(names: list[str], where: str) -> list[str]:
    if not any(name.endswith(".py") for name in names):
        raise _refused(f"{where} holds no .py file")
    if len(names) > MAX_FILES:
        raise _refused(f"{len(names):,} files; {MAX_FILES:,} are allowed")
    return names


def _content(path: Path, name: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise _refused(f"{name}: {size:,} bytes; {MAX_FILE_BYTES:,} are allowed", "give large files to a file slot")
        return path.read_bytes()
    except OSError as error:
        raise _refused(f"{name}: {error.strerror}") from error


def _pack(files: list[tuple[str, bytes]]) -> bytes:
    if (total := sum(len(content) for _, content in files)) > MAX_BYTES:
        raise _refused(f"{total:,} bytes; {MAX_BYTES:,} are allowed", "give large files to a file slot")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:
        for name, content in files:
            if len(name) > MAX_NAME or not name.isprintable():
                raise _refused(f"{name[:80]!r} is no name for a file of a release")
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _read(archive: bytes) -> list[tuple[str, bytes]]:
    files: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:", encoding="utf-8") as tar:
            for entry in tar:
                _check_member(entry, files)
                total += entry.size
                if len(files) >= MAX_FILES or total > MAX_BYTES or entry.size > MAX_FILE_BYTES:
                    raise _refused("too many files, or too large ones")
                content = tar.extractfile(entry)
                files[entry.name] = content.read() if content else b""
    except (tarfile.TarError, ValueError, EOFError, OSError, OverflowError, RecursionError) as error:
        raise _refused(f"not a tar: {error}") from error
    _bounded(list(files), "the archive")
    return sorted(files.items())


def _check_member(entry: tarfile.TarInfo, before: dict[str, bytes]) -> None:
    parts = PurePosixPath(entry.name).parts
    if not entry.isreg() or entry.issparse():
        raise _refused(f"{entry.name[:80]!r}: a link, a folder or a special file")
    if not parts or entry.name.startswith("/") or ".." in parts or "\\" in entry.name or PurePosixPath(entry.name).as_posix() != entry.name:
        raise _refused(f"{entry.name[:80]!r} would leave the folder")
    if not all(map(_is_wanted, parts)):
        raise _refused(f"{entry.name[:80]!r} does not belong into a release")
    if entry.name in before or any(parent.as_posix() in before for parent in PurePosixPath(entry.name).parents):
        raise _refused(f"{entry.name[:80]!r} is there twice")


def _refused(what: str, hint: str | None = None) -> RejectedError:
    return RejectedError(f"the release's archive: {what}", code="release.archive", hint=hint)
