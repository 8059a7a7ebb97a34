"""Keys of a workspace: given by the environment, or kept in a file that only its owner can read."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path

from thalweg.errors import RejectedError

KEY_BYTES = 32
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def load_or_make_key(given: str | None, path: Path) -> bytes:
    """A key of 32 bytes: the given one, else the file's, which is made when it is not there. Blocking.

    Processes that make the file at the same time end up with one key.

    Args:
        given: base64, as the environment has it; None for the file.
        path: of the file, base64 with mode 0600.

    Raises:
        RejectedError: not base64 of 32 bytes (`key.invalid`), the file can be read by others (`key.exposed`), or not at all
            (`key.unreadable`). No message has the key in it.
    """
    if given is not None:
        return _decode(given, "the given key")
    try:
        if not path.exists():
            _make(path)
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if mode & _OTHERS:
                raise RejectedError(
                    f"{path}: group or others may read it (mode {stat.S_IMODE(mode):04o})",
                    code="key.exposed",
                    hint=f"chmod 600 {path}, and replace the key when somebody may have read it",
                    path=str(path),
                )
            return _decode(stream.read(1024).decode("ascii", errors="replace"), str(path))
    except OSError as error:
        raise RejectedError(f"{path}: {error.strerror or error}", code="key.unreadable", path=str(path)) from error


def _make(path: Path) -> None:
    """Write a new key beside its place and link it there: nobody sees half a key, and the first of several wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink(missing_ok=True)


def _decode(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise RejectedError(f"{where}: not a key", code="key.invalid", hint=f"base64 of {KEY_BYTES} bytes")
    return key
