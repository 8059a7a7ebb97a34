"""Reads the log records of a deployment from the stream of its workspace: the last ones, those since a time, those to come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from thalweg.bus.connection import Client, NatsError
from thalweg.bus.deployments import load_deployment
from thalweg.bus.log_stream import Line, last_sequence, read_page
from thalweg.errors import RejectedError, UnreachableError
from thalweg.wire import subjects
from thalweg.wire.log_record import LEVELS, Level, LogRecord, decode_record

POLL_S = 0.25
_PAGE = 500
_MORE = 8  # times as many records are looked through, when too few of them are of the wanted level
_FIRST_TIME, _LAST_TIME = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)  # a server counts ns in 64 bits
_AWAY = (UnreachableError, NatsError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Which:
    """Which records.

    Attributes:
        vertex: None for all vertices of the deployment.
        level: the lowest.
        since: None for as long as records are kept.
        last: at most so many old ones, None for all.
    """

    deployment: str
    vertex: str | None = None
    level: Level = "debug"
    since: datetime | None = None
    last: int | None = None

    def subject(self, workspace: str) -> str:
        """Where they are."""
        named = self.vertex is not None
        return subjects.log(workspace, self.deployment, self.vertex or "") if named else subjects.all_logs(workspace, self.deployment)

    def keeps(self, record: LogRecord) -> bool:
        """Whether it is one of them, by its level and its own time: it may have been stored later."""
        is_late_enough = self.since is None or record.time_ns >= self.since.timestamp() * 1e9
        return is_late_enough and LEVELS.index(record.level) >= LEVELS.index(self.level)


async def records(client: Client, workspace: str, which: Which, *, follow: bool) -> AsyncIterator[LogRecord]:
    """Old records in order, then, with `follow`, those that come, for ever; restarts of the server are waited for.

    Raises:
        RejectedError: `deployment.unknown` or `vertex.unknown`: there is none, and no records of it.
        UnreachableError, nats.errors.Error, TimeoutError: the server is away before the old ones were read.
    """
    subject, end = which.subject(workspace), await last_sequence(client, workspace)
    first = await _first(client, workspace, subject, which.since)
    if first is None:
        await _refuse_unknown(client, workspace, which)
    elif which.last is None:
        async for _, record in _between(client, workspace, subject, first, end):
            if which.keeps(record):
                yield record
    elif which.last:
        for record in await _last(client, workspace, which, first, end):
            yield record
    if follow:
        async for record in _coming(client, workspace, subject, end):
            if which.keeps(record):
                yield record


async def find_start(count_from: Callable[[int], object], first: int, end: int, count: int) -> int:
    """The highest sequence from which on there are at least `count` records, `first` where there are fewer.

    Args:
        count_from: awaitable count of the records from a sequence on.
        first, end: of the stream.
        count: how many are wanted.
    """
    low, high = first, end
    while low < high:
        middle = (low + high + 1) // 2
        if await count_from(middle) >= count:  # type: ignore[misc]
            low = middle
        else:
            high = middle - 1
    return low


async def _last(client: Client, workspace: str, which: Which, first: int, end: int) -> list[LogRecord]:
    """The last records of a level; how far back they reach is not known before they were looked through."""
    assert which.last is not None
    subject, looked = which.subject(workspace), which.last

    async def count_from(sequence: int) -> int:
        page = await read_page(client, workspace, subject, sequence, 1)
        return len(page.lines) + page.left

    while True:
        start = await find_start(count_from, first, end, looked)
        found: deque[LogRecord] = deque(maxlen=which.last)
        async for _, record in _between(client, workspace, subject, start, end):
            if which.keeps(record):
                found.append(record)
        if len(found) == which.last or start <= first:
            return list(found)
        looked *= _MORE


async def _first(client: Client, workspace: str, subject: str, since: datetime | None) -> int | None:
    """Sequence of the oldest record; None where there is none at all, the time left aside."""
    page = await read_page(client, workspace, subject, 1, 1)
    if not page.lines:
        return None
    if since is None:
        return page.lines[0].sequence
    page = await read_page(client, workspace, subject, 1, 1, min(max(since, _FIRST_TIME), _LAST_TIME))
    return page.lines[0].sequence if page.lines else 2**62  # behind all there is


async def _between(client: Client, workspace: str, subject: str, start: int, end: int) -> AsyncIterator[tuple[int, LogRecord]]:
    """Records from one sequence to another, both inclusive."""
    while start <= end:
        page = await read_page(client, workspace, subject, start, _PAGE)
        for line in page.lines:
            if line.sequence > end:
                return
            yield line.sequence, _decoded(line)
        if not page.lines:
            return
        start = page.lines[-1].sequence + 1


async def _coming(client: Client, workspace: str, subject: str, position: int) -> AsyncIterator[LogRecord]:
    """Records behind a position; while the server is away, nothing."""
    was_away = False
    while True:
        try:
            if was_away and await last_sequence(client, workspace) < position:
                position = 0  # another stream of that name, or one that has lost its end
            page = await read_page(client, workspace, subject, position + 1, _PAGE)
            was_away = False
        except _AWAY:
            was_away = True
            await asyncio.sleep(POLL_S)
            continue
        for line in page.lines:
            yield _decoded(line)
            position = line.sequence
        if not page.left:
            await asyncio.sleep(POLL_S)


def _decoded(line: Line) -> LogRecord:
    deployment, vertex = subjects.parse_log(line.subject) or ("", "")
    return decode_record(line.body, deployment, vertex, line.time_ns)


async def _refuse_unknown(client: Client, workspace: str, which: Which) -> None:
    """Tells a name that nothing has from one that has not logged yet."""
    hint = "`thalweg status` shows what there is"
    try:
        spec = await load_deployment(client, workspace, which.deployment)
    except RejectedError:
        what = f"there is no deployment {which.deployment}, and no log records of it"
        raise RejectedError(what, code="deployment.unknown", hint=hint) from None
    names = [one.name for one in spec.vertices]
    if which.vertex is not None and which.vertex not in names:
        told = f"there are {', '.join(names)}"
        raise RejectedError(f"deployment {spec.name} has no vertex {which.vertex}", code="vertex.unknown", hint=told)


def utc(time_ns: int) -> str:
    """A time of the wall clock as people read it."""
    with suppress(OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{time_ns} ns"
