"""What happens when a component raises: the end of the run, another try, or a dead letter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from thalweg.errors import RunFailedError, ThalwegError
from thalweg.runtime.redaction import Nothing, Redaction
from thalweg.runtime.standing import Standing
from thalweg.sdk.context import Context
from thalweg.sdk.values import RecordError
from thalweg.wire.dead_letters import Letter

RETRIES, FIRST_PAUSE_S = 4, 0.05
MAX_DEAD_BYTES, MAX_TEXT = 1 << 20, 4096  # a picture of a camera finds room: what is cut cannot be given again
MAX_DEAD_COMMITS = 512  # open dead letters are never trimmed, and a subject holds a limited number of messages
_pack = msgspec.msgpack.Encoder(enc_hook=repr).encode


class Faults:
    """Applies a vertex's `on_error`.

    Args:
        vertex: its name.
        on_error: `fail`, `dead-letter` or `retry`.
        standing: where errors and dead letters are counted.
        context: says where in the input the component is.
        redaction: of what is written.
        alone: a record can be given again by itself: the component does not combine those of several inputs.
        traced: dead letters say which record from outside they come from.
        trimmed: old dead letters are removed from the log, so there may be any number.

    Attributes:
        size: bytes of the dead letters since the last commit.
        dead_commits: how many commits had dead letters that are still open.
    """

    def __init__(
        self,
        vertex: str,
        on_error: str,
        standing: Standing,
        context: Context,
        redaction: Redaction | None = None,
        *,
        alone: bool = True,
        traced: bool = False,
        trimmed: bool = False,
    ) -> None:
        self._vertex, self._on_error, self._standing, self._context = vertex, on_error, standing, context
        self._redaction = redaction or Nothing()
        self._alone, self._traced, self._trimmed = alone, traced, trimmed
        self._dead: list[Letter] = []
        self.size = 0
        self.dead_commits = 0

    def attempt(self, call: Callable[[], int], undo: Callable[[], None], value: Any, record_id: int, root: int = 0) -> int:
        """Calls until it does not raise or `on_error` allows no more; returns what the call did, 1 for a dead letter.

        Args:
            call: one try.
            undo: takes back what a failed try has left.
            value: the record, for the dead letter.
            record_id: its id.
            root: id of the record from outside that it comes from.

        Raises:
            RunFailedError: the record stops the run.
        """
        for attempt in range(RETRIES + 1):
            try:
                return call()
            except Exception as error:
                undo()
                self._standing.counters.errors += 1
                if self._on_error != "retry" or attempt == RETRIES:
                    self.settle(error, value, record_id, root)
                    return 1
                time.sleep(FIRST_PAUSE_S * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def settle(self, error: Exception, value: Any, record_id: int, root: int = 0) -> None:
        """Makes a dead letter, or stops the run."""
        message = str(error) if isinstance(error, RecordError) else f"{type(error).__name__}: {error}"
        message += f" (tried {RETRIES + 1} times)" if self._on_error == "retry" else ""
        where = self._context.position
        if self._on_error != "dead-letter":
            if isinstance(error, RecordError) and error.where:
                raise RunFailedError(f"{self._vertex}: {message}", code=error.code, hint=error.hint) from error
            raise RunFailedError(
                f"{self._vertex}: {where}: {message}",
                code="component.raised",
                hint=f"set on_error: dead-letter on {self._vertex} to keep such records aside and go on",
            ) from error
        if not self._standing.rebuilding:
            code = error.code if isinstance(error, ThalwegError) else "component.raised"
            self._keep(where, message, code, value, record_id, root)

    def _keep(self, where: str, message: str, code: str, value: Any, record_id: int, root: int) -> None:
        counters = self._standing.counters
        if not self._trimmed and self.dead_commits >= MAX_DEAD_COMMITS:
            raise RunFailedError(
                f"{self._vertex}: {where}: {message}; and too many dead letters before it",
                code="dead_letters.full",
                hint=f"{counters.open_letters} records are kept aside: `thalweg dead-letters` gives them again or drops them",
            )
        redact = self._redaction  # before it is cut: half a secret is not found
        packed = _packed(value)
        error, shown = redact.text(message)[:MAX_TEXT], redact.packed(packed, numbers=True)[:MAX_DEAD_BYTES]
        letter = Letter(record_id, redact.text(where), error, shown, code, self._port(), self._context.time_ns, shown == packed)
        letter.root = root if self._traced else None
        self._dead.append(letter)
        self.size += len(letter.value)
        counters.dead += 1

    @property
    def keeps_aside(self) -> bool:
        """Whether faulty records become dead letters."""
        return self._on_error == "dead-letter"

    def _port(self) -> str:
        return self._context.port if self._alone else ""

    def cut(self) -> bytes | None:
        """Body of the dead letters since the last commit; None when there are none."""
        if not self._dead:
            return None
        body, self._dead, self.size = _pack(self._dead), [], 0
        self.dead_commits += 1
        return body


def _packed(value: Any) -> bytes:
    """A record for its dead letter: msgpack; as text where it has no place on the wire."""
    try:
        return _pack(value)
    except (TypeError, ValueError, OverflowError):
        return _pack(ascii(value))
