"""Counts what a deployment log holds, at the server's own time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from nats.aio.client import Client

from thalweg.bus.streams import call
from thalweg.wire import subjects


@dataclass(frozen=True, slots=True)
class Counted:
    """What a log holds.

    Attributes:
        created_ns: when it was made, UTC.
        now_ns: the server's time, UTC; what it says of messages is told by the same clock.
        last_sequence: of its last message, 0 while there is none.
        messages: by subject of its vertices.
    """

    created_ns: int
    now_ns: int
    last_sequence: int
    messages: dict[str, int]


async def count_log(client: Client, workspace: str, name: str, deadline_s: float) -> Counted | None:
    """The log now; None where there is none.

    Raises:
        UnreachableError: `nats.unreachable`, JetStream has not answered for `deadline_s`.
    """
    filtered = {"subjects_filter": subjects.all_vertices(workspace, name)}
    answer = await call(client, f"STREAM.INFO.{subjects.stream(workspace, name)}", filtered, deadline_s)
    if "error" in answer:
        return None
    now_ns = parse_time_ns(answer["ts"]) if "ts" in answer else time.time_ns()
    state = answer["state"]
    return Counted(parse_time_ns(answer["created"]), now_ns, state["last_seq"], dict(state.get("subjects") or {}))


def parse_time_ns(text: str) -> int:
    """UTC ns of a time as Go writes it: RFC 3339 with up to nine digits behind the point."""
    whole, _, rest = text.removesuffix("Z").partition(".")
    digits = rest[: next((index for index, one in enumerate(rest) if not one.isdigit()), len(rest))]
    zone = rest[len(digits) :] if rest else ""
    at = datetime.fromisoformat(whole + zone)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return int(at.timestamp()) * 1_000_000_000 + int(digits.ljust(9, "0")[:9] or 0)
