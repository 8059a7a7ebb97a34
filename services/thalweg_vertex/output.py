"""What a vertex's process prints: passed on by lines, to a file and to the log subject, without secrets."""

from __future__ import annotations

import atexit
import io
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from typing import IO, Any, cast

from thalweg.sealed.redaction import RedactingFilter, Redactor

MAX_WAITING_BYTES = 1 << 20  # of a line without an end
_MIN_LINE = 8
OnLine = Callable[[str, bytes], None]


class Output:
    """This process's standard output and error, from which secrets can be kept from some time on.

    Made before any code of the component runs, which may keep `sys.stderr`; given the secrets when they have come.

    Args:
        on_line: called with `stdout` or `stderr` and each line that is printed, without its end and without secrets.
    """

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._sinks: list[LineSink] = []
        self._streams: list[io.TextIOWrapper] = []
        atexit.register(self.finish)
        sys.stdout, sys.stderr = self._wrapped("stdout", sys.stdout.buffer), self._wrapped("stderr", sys.stderr.buffer)

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

    def finish(self) -> None:
        """Passes on what has no end of line yet."""
        for stream, sink in zip(self._streams, self._sinks, strict=True):
            stream.flush()
            sink.finish()

    def _wrapped(self, name: str, target: IO[bytes]) -> io.TextIOWrapper:
        sink = LineSink(target, lambda line: self._on_line(name, line))
        raw = cast(IO[bytes], sink)
        stream: io.TextIOWrapper = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self._sinks.append(sink)
        self._streams.append(stream)
        return stream


class LineSink(io.RawIOBase):
    """Passes whole lines on to another stream, without secrets.

    Args:
        target: where they go.
        on_line: called with each.

    Attributes:
        redactor: knows the secrets, once there are any.
    """

    def __init__(self, target: IO[bytes], on_line: Callable[[bytes], None] = lambda line: None) -> None:
        self._target, self._on_line = target, on_line
        self.redactor: Redactor | None = None
        self._waiting, self._lock = bytearray(), threading.Lock()

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """Of the stream behind, for a child process and the like: what goes there directly is neither redacted nor logged."""
        return self._target.fileno()

    def write(self, data: Any) -> int:
        """Takes bytes in; they are passed on with the end of their line."""
        with self._lock:
            self._waiting += data
            end = len(self._waiting) if len(self._waiting) > MAX_WAITING_BYTES else self._waiting.rfind(b"\n") + 1
            lines = self._pass_on(end)
        self._tell(lines)  # outside the lock: whoever is told may print
        return len(data)

    def finish(self) -> None:
        """Passes on what has no end of line."""
        with self._lock:
            lines = self._pass_on(len(self._waiting))
        self._tell(lines)

    def _pass_on(self, end: int) -> bytes:
        if not end:
            return b""
        data = bytes(self._waiting[:end])
        shown = data if self.redactor is None else self.redactor.data(data)
        self._target.write(shown)
        self._target.flush()
        del self._waiting[:end]
        return shown

    def _tell(self, lines: bytes) -> None:
        for line in lines.split(b"\n"):
            shown = line.rstrip().rpartition(b"\r")[2]  # of a progress bar, what it has come to
            if shown:
                self._on_line(shown)
