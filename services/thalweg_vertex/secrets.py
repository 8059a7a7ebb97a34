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


class Output:
    """This process's standard output and error, from which secrets can be kept from some time on.

    Made before any code of the component runs, which may keep `sys.stderr`; given the secrets when they have come.

    Args:
        wanted: False leaves everything as it is, for a vertex without secrets.
    """

    def __init__(self, wanted: bool) -> None:
        self._sinks: list[RedactingSink] = []
        if wanted:
            sys.stdout, sys.stderr = self._wrapped(sys.stdout.buffer), self._wrapped(sys.stderr.buffer)

    def hide(self, secrets: Mapping[str, str]) -> Redactor | None:
        """Takes the secrets out of the log and of all that is printed from now on; None where there are none."""
        if not secrets:
            return None
        # What is printed goes by lines, and so does a key of several lines.
        lines = {line for value in secrets.values() for line in value.splitlines() if len(line) >= _MIN_LINE}
        redactor = Redactor({*secrets.values(), *lines})
        for handler in logging.getLogger().handlers:
            handler.addFilter(RedactingFilter(redactor))
        for sink in self._sinks:
            sink.redactor = redactor
        return redactor

    def _wrapped(self, target: IO[bytes]) -> io.TextIOWrapper:
        sink = RedactingSink(target)
        self._sinks.append(sink)
        atexit.register(sink.finish)
        return io.TextIOWrapper(sink, encoding="utf-8", errors="backslashreplace", write_through=True)  # type: ignore[arg-type]


class RedactingSink(io.RawIOBase):
    """Passes whole lines on to another stream, without secrets.

    Args:
        target: where they go.

    Attributes:
        redactor: knows the secrets, once there are any.
    """

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self.redactor: Redactor | None = None
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
            data = bytes(self._waiting[:end])
            self._target.write(data if self.redactor is None else self.redactor.data(data))
            self._target.flush()
            del self._waiting[:end]
