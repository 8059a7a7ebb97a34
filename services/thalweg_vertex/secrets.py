"""Takes a vertex's secrets from the pipe that its coordinator left, and keeps them out of all that the process prints."""

from __future__ import annotations

import atexit
import io
import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from typing import IO, Any

from thalweg.errors import RunFailedError
from thalweg.sealed.redaction import RedactingFilter, Redactor
from thalweg.wire.spec import VertexSpec

MAX_WAITING_BYTES = 1 << 20  # of a line without an end
_MIN_LINE = 8


def take_secrets(mine: VertexSpec) -> dict[str, str]:
    """Value per slot; standard input is empty afterwards. Blocking.

    Raises:
        RunFailedError: `secret.undelivered`, the coordinator has died while it wrote, or never did: start again.
    """
    if not mine.secrets:
        return {}
    try:
        found = json.loads(sys.stdin.buffer.read())
        given = {slot: str(found[slot]) for slot in mine.secrets}
    except (ValueError, KeyError, TypeError, OSError):
        raise RunFailedError(f"{mine.name}: its secrets have not come", code="secret.undelivered") from None
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return given


def redact_output(secrets: Mapping[str, str]) -> Redactor | None:
    """Takes the secrets out of this process's log and standard output and error from now on; None where there are none."""
    if not secrets:
        return None
    # What is printed goes by lines, and so does a key of several lines.
    lines = {line for value in secrets.values() for line in value.splitlines() if len(line) >= _MIN_LINE}
    redactor = Redactor({*secrets.values(), *lines})
    for handler in logging.getLogger().handlers:
        handler.addFilter(RedactingFilter(redactor))
    sys.stdout, sys.stderr = _redacted(sys.stdout.buffer, redactor), _redacted(sys.stderr.buffer, redactor)
    return redactor


class RedactingSink(io.RawIOBase):
    """Passes whole lines on to another stream, without secrets.

    Args:
        target: where they go.
        redactor: knows the secrets.
    """

    def __init__(self, target: IO[bytes], redactor: Redactor) -> None:
        self._target, self._redactor = target, redactor
        self._waiting, self._lock = bytearray(), threading.Lock()

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Takes bytes in; they are passed on with the end of their line."""
        with self._lock:
            self._waiting += data
            end = len(self._waiting) if len(self._waiting) > MAX_WAITING_BYTES else self._waiting.rfind(b"\n") + 1
            self._pass_on(end)
        return len(data)

    def finish(self) -> None:
        """Passes on what has no end of line."""
        with self._lock:
            self._pass_on(len(self._waiting))

    def _pass_on(self, end: int) -> None:
        if end:
            self._target.write(self._redactor.data(bytes(self._waiting[:end])))
            self._target.flush()
            del self._waiting[:end]


def _redacted(target: IO[bytes], redactor: Redactor) -> io.TextIOWrapper:
    sink = RedactingSink(target, redactor)
    atexit.register(sink.finish)
    return io.TextIOWrapper(sink, encoding="utf-8", errors="backslashreplace", write_through=True)  # type: ignore[arg-type]
