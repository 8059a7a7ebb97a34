"""Log records of a vertex's process, on their way to the log subject; nothing here blocks who logs."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

from thalweg.bus.connection import Client
from thalweg.bus.log_stream import NoLogStreamError, ensure_log_stream, publish_records
from thalweg.errors import RejectedError, UnreachableError
from thalweg.runtime.engine import Engine
from thalweg.runtime.log_queue import LogQueue, Waiting
from thalweg.runtime.redaction import Nothing
from thalweg.runtime.tasks import end_tasks
from thalweg.settings import Settings
from thalweg.wire import subjects
from thalweg.wire.log_record import Level, LogRecord, level_of

GATHER_S = 0.05  # what is logged within it goes together
BATCH = 200
AWAY_PAUSE_S, REFUSED_PAUSE_S = 0.2, 5.0
FLUSH_S = 2.0  # a vertex that ends waits no longer for its last records to be stored
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_log = logging.getLogger("thalweg.vertex")


class Logs(logging.Handler):
    """Takes what is logged and printed in this process; `run` sends it.

    Args:
        deployment, vertex: whose process it is.

    Attributes:
        queue: what was not sent yet.
        generation: of the vertex, once it is known.
        engine: says which record is worked on, once there is one.
        redact: takes secrets out of a text; messages and lines are redacted before they come here.
    """

    def __init__(self, deployment: str, vertex: str) -> None:
        super().__init__()
        self._place = deployment, vertex
        self.generation: int | None = None
        self.engine: Engine | None = None
        self.redact: Callable[[str], str] = Nothing().text
        self.queue = LogQueue(self._dropped)
        self._writer = os.urandom(6).hex()
        self._unsent: list[Waiting] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Takes a record in; it was redacted by this handler's filters before."""
        try:
            self.queue.put(record.levelno, lambda: self._read(record))
        except Exception:
            self.handleError(record)

    def line(self, stream: str, line: bytes) -> None:
        """Takes a printed line in, which was redacted before."""
        self.queue.put(logging.INFO, lambda: self._made(time.time_ns(), "info", stream, line.decode(errors="replace"), is_authors=True))

    async def run(self, client: Client, settings: Settings) -> None:
        """Sends records until it is cancelled."""
        woken, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(woken.set)

        self.queue.on_put = wake
        woken.set()
        while True:
            await woken.wait()
            woken.clear()
            await asyncio.sleep(GATHER_S)
            while await self._send_some(client, settings):
                pass

    async def send_rest(self, client: Client, settings: Settings) -> None:
        """Sends what is there; gives up after `FLUSH_S`. After `run` has ended."""

        async def send() -> None:
            while await self._send_some(client, settings):
                pass

        sending = asyncio.create_task(send())
        await asyncio.wait({sending}, timeout=FLUSH_S)
        await end_tasks(sending)

    async def _send_some(self, client: Client, settings: Settings) -> bool:
        """Sends some records, for as long as it takes; False when there were none. Broken off, it sends the same ones next time."""
        self._unsent = self._unsent or self.queue.take(BATCH)
        if not self._unsent:
            return False
        subject = subjects.log(settings.workspace, *self._place)
        records = [(one.number, one.body) for one in self._unsent]
        while True:
            while not client.is_connected:  # else the client would keep every try in its memory  # noqa: ASYNC110
                await asyncio.sleep(AWAY_PAUSE_S)
            try:
                await publish_records(client, subject, self._writer, records, self.queue.dropped)
                self._unsent = []
                return True
            except NoLogStreamError:
                await self._make_stream(client, settings)
            except UnreachableError:
                await asyncio.sleep(AWAY_PAUSE_S)
            except RejectedError as error:
                _log.debug("%s", error)
                await asyncio.sleep(REFUSED_PAUSE_S)

    async def _make_stream(self, client: Client, settings: Settings) -> None:
        """Where no coordinator has made it. A server that starts again looks the same for a moment."""
        try:
            await ensure_log_stream(client, settings.workspace, settings.log_max_age_s, settings.log_max_bytes)
        except (RejectedError, UnreachableError) as error:
            _log.debug("%s", error)
            await asyncio.sleep(REFUSED_PAUSE_S)
        await asyncio.sleep(AWAY_PAUSE_S)

    def _read(self, record: logging.LogRecord) -> LogRecord:
        try:
            message = record.getMessage()
        except Exception:  # as logging does: what cannot be formatted is not worth a crash
            message = f"{record.msg} {record.args!r}"
        exception = record.exc_text or ("".join(traceback.format_exception(*record.exc_info)).rstrip() if record.exc_info else "")
        found = self._made(
            int(record.created * 1e6) * 1000,
            level_of(record.levelno),
            self.redact(record.name),
            message,
            is_authors=self._is_authors(record),
        )
        found.exception = "\n".join(filter(None, (exception, record.stack_info)))
        found.fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        return found

    def _made(self, time_ns: int, level: Level, logger: str, message: str, *, is_authors: bool = False) -> LogRecord:
        deployment, vertex = self._place
        found = LogRecord(time_ns=time_ns, level=level, logger=logger, message=message, deployment=deployment, vertex=vertex)
        found.generation = self.generation
        if self.engine is not None:
            context = self.engine.program.context
            found.epoch = self.engine.epoch or None
            if is_authors and context.record_id:
                found.record_id, found.event_time_ns = context.record_id, context.time_ns
        return found

    def _is_authors(self, record: logging.LogRecord) -> bool:
        """Whether it is of the component, and not of Thalweg itself."""
        return not record.name.startswith("thalweg.") or record.name == f"thalweg.vertex.{self._place[1]}"

    def _dropped(self, count: int) -> LogRecord:
        said = f"{count:,} log records were dropped here: too many at once"
        found = self._made(time.time_ns(), "warning", "thalweg.log", said)
        found.dropped = count
        return found
