"""One message of a deployment log as it was stored, whatever it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Logged:
    """A message, or one piece of a body that was cut.

    Attributes:
        subject: where it was written.
        sequence: of the log.
        time_ns: when the server stored it, UTC.
        headers: all of them.
        data: the body, or a piece of it.
    """

    subject: str
    sequence: int
    time_ns: int
    headers: dict[str, str]
    data: bytes
