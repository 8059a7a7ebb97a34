"""What a graph has made of requests: waits for the records that come from them, or for all vertices to be past them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from thalweg.bus.connection import Client, NatsError
from thalweg.bus.deployments import log_state
from thalweg.bus.follower import Delivered, Follower
from thalweg.bus.heads import StoredMessage, get_message, read_heads
from thalweg.errors import ThalwegError, UnreachableError
from thalweg.runtime.tasks import end_tasks
from thalweg.wire import subjects
from thalweg.wire.boundary import NUMBER_HEADER, ROOT_HEADER
from thalweg.wire.spec import DeploymentSpec
from thalweg.wire.subjects import DEAD_PORT, parse_port
from thalweg_gateway.feed import Feed
from thalweg_gateway.flow import Flow, Path, Progress
from thalweg_gateway.refusals import RequestError

_log = logging.getLogger("thalweg.gateway")
MAX_WAITING, MAX_RECENT, MAX_RECORDS = 2000, 20_000, 1000
IDLE_S, OPEN_TIMEOUT_S = 30.0, 5.0
FEED_S = 2.0  # so long after a request, what its records become is fetched even before it says that it waits


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: msgpack records, in the order of the log; none where all of it was filtered or absorbed."""

    records: list[bytes]


@dataclass(eq=False)
class _Asked:
    """A request that is waited for."""

    roots: frozenset[int]
    path: Path
    progress: Progress
    first: int  # sequence of the first record on the log
    answered: asyncio.Future[Answer]
    found: dict[int, asyncio.Task[bytes | None]] = field(default_factory=dict)  # by sequence
    is_finishing: bool = False
    early: asyncio.Task[None] | None = None


class Watch:
    """Follows the commits of one deployment, without bodies, while anybody waits for answers.

    The one order of the log makes answers exact: when the commit that takes the output endpoint past a request is read, every record
    that comes from it was read before.

    Args:
        client: NATS connection.
        spec: the deployment.
    """

    def __init__(self, client: Client, spec: DeploymentSpec) -> None:
        self._client, self._spec = client, spec
        self._stream = subjects.stream(spec.workspace, spec.name)
        self._flow, self._feed = Flow(spec), Feed(client, spec)
        self._asked: set[_Asked] = set()
        self._recent: OrderedDict[int, list[tuple[str, int]]] = OrderedDict()  # root -> outlet and sequence
        self._dead: OrderedDict[int, tuple[str, str]] = OrderedDict()  # root -> vertex and error
        self._start = 0
        self._reading: asyncio.Task[None] | None = None
        self.used_at = time.monotonic()

    async def open(self) -> None:
        """Begins to follow; what is published from now on is seen.

        Raises:
            UnreachableError: `deployment.not_running`, `nats.unreachable`.
        """
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                state = await log_state(self._client, self._spec.workspace, self._spec.name)
                if state is None:
                    raise UnreachableError("the deployment has no log yet", code="deployment.not_running", hint="try again later")
                self._start = state[1] + 1
                heads = await read_heads(self._client, self._spec.workspace, self._spec.name)
                self._flow.take_heads([Delivered(head.subject, head.sequence, head.headers, b"") for head in heads], self._start)
                place = (self._spec.workspace, self._spec.name)
                followed = [subjects.all_vertices(*place), subjects.all_outlets(*place)]
                follower = Follower(self._client, self._stream, followed, self._start, headers_only=True)
                await follower.open()
        except (TimeoutError, NatsError, OSError) as error:
            raise UnreachableError("the deployment's log does not answer", code="nats.unreachable", hint="try again later") from error
        self._reading = asyncio.create_task(self._read(follower))

    async def close(self) -> None:
        """Follows no more; who still waits is told so."""
        if self._reading is not None:
            await end_tasks(self._reading)
        self._feed.close()
        for one in self._asked:
            if not one.answered.done():
                one.answered.set_exception(UnreachableError("the gateway is stopping", code="deployment.not_running"))

    @property
    def is_idle(self) -> bool:
        """Whether nobody has asked for a while, or the follower has ended."""
        is_over = self._reading is not None and self._reading.done()
        return is_over or (not self._asked and time.monotonic() - self.used_at > IDLE_S)

    def take_spec(self, spec: DeploymentSpec) -> None:
        """The deployment after a redeploy."""
        if spec.generation != self._spec.generation:
            self._spec = spec
            self._flow.take_spec(spec)
            self._feed.take_spec(spec)

    async def answer(self, roots: Sequence[int], sequences: Sequence[int], path: Path, wait_s: float) -> Answer:
        """What came of some records from outside, once all vertices up to the output endpoint are past them.

        Args:
            roots: their ids.
            sequences: where they are on the log.
            path: from their endpoint to the one that answers.
            wait_s: how long to wait.

        Raises:
            RequestError: `answer.late`, not all has come yet; `answer.trimmed`, it is not kept any more; `answer.too_large`;
                `graph.failed`, with `vertex` and `reason`.
        """
        if len(self._asked) >= MAX_WAITING:
            raise RequestError(f"{MAX_WAITING:,} requests wait already", code="answer.late", hint="ask again by the id")
        self.used_at = time.monotonic()
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        asked = _Asked(frozenset(roots), path, Progress(max(sequences)), min(sequences), future)
        if min(sequences) < self._start:
            await self._look_back(asked, min(sequences))
        for root in roots:
            for outlet, sequence in self._recent.get(root, ()):
                if outlet == path.outlet:
                    self._fetch(asked, sequence)
        self._asked.add(asked)
        try:
            self._settle(asked)
            async with asyncio.timeout(wait_s):
                return await future
        except TimeoutError as error:
            raise RequestError(f"nothing has come within {wait_s:g} s", code="answer.late", hint="ask again by the id") from error
        finally:
            self._asked.discard(asked)
            for task in [*asked.found.values(), *([asked.early] if asked.early is not None else [])]:
                task.cancel()

    async def _look_back(self, asked: _Asked, start: int) -> None:
        """Reads again what was written before this watch began: records that left, and dead letters."""
        place = (self._spec.workspace, self._spec.name)
        dead = [subjects.port(*place, one.name, DEAD_PORT) for one in asked.path.vertices]
        follower = Follower(self._client, self._stream, [subjects.outlet(*place, asked.path.outlet), *dead], start, headers_only=True)
        is_first = True
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await follower.open()
                while await follower.has_more():
                    message = await follower.next()
                    if message.sequence >= self._start:
                        break
                    if parse_port(message.subject) is not None:
                        await self._take_dead(message)
                        continue
                    if is_first and int(message.headers.get(NUMBER_HEADER, 1)) > 1 and await self._is_cut_off(message, start):
                        raise RequestError("what came of this request may not be kept any more", code="answer.trimmed")
                    is_first = False
                    self._note_left(message)
        except TimeoutError as error:
            raise UnreachableError("the log does not answer", code="nats.unreachable") from error
        finally:
            await follower.close()

    async def _is_cut_off(self, first: Delivered, start: int) -> bool:
        """Whether records that left behind `start` are gone: then no older one than the first found is kept."""
        before = await get_message(self._client, self._stream, {"seq": 1, "next_by_subj": first.subject})
        return before is not None and before.sequence >= start

    async def _read(self, follower: Follower) -> None:
        try:
            while True:
                message = await follower.next()
                if parse_port(message.subject) is None:
                    self._note_left(message)
                    continue
                await self._take_dead(message)
                self._feed.take(message, is_wanted=time.monotonic() - self.used_at < FEED_S or bool(self._asked))
                vertex = self._flow.observe(message)
                if vertex is not None and self._asked:
                    for asked in list(self._asked):
                        self._settle(asked)
        except Exception:
            _log.exception("watch of %s", self._spec.name)
            raise
        finally:
            await follower.close()

    def _note_left(self, message: Delivered) -> None:
        """Takes in a record that has left the graph."""
        try:
            root, outlet = int(message.headers[ROOT_HEADER], 16), message.subject.split(".")[4]
        except (KeyError, ValueError, IndexError):
            return
        places = self._recent.setdefault(root, [])
        if len(places) <= MAX_RECORDS and (outlet, message.sequence) not in places:
            places.append((outlet, message.sequence))
        self._recent.move_to_end(root)
        if len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)
        for asked in self._asked:
            if root in asked.roots and outlet == asked.path.outlet:
                self._fetch(asked, message.sequence)

    async def _take_dead(self, message: Delivered) -> None:
        place = parse_port(message.subject)
        if place is None or place[1] != DEAD_PORT or "Tw-Commit" not in message.headers:
            return
        for letter in await self._letters(message):
            if isinstance(root := letter.get("root"), int) and root:
                self._dead[root] = (place[0], f"{letter.get('where', '')}: {letter.get('error', '')}")
                if len(self._dead) > MAX_RECENT:
                    self._dead.popitem(last=False)

    async def _letters(self, message: Delivered) -> list[dict[str, Any]]:
        stored = await get_message(self._client, self._stream, {"seq": message.sequence})
        try:
            found = msgspec.msgpack.decode(stored.data) if stored is not None else []
        except msgspec.DecodeError:  # the last piece of a cut one
            found = []
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    def _fetch(self, asked: _Asked, sequence: int) -> None:
        if asked.answered.done() or sequence in asked.found:
            return
        if len(asked.found) >= MAX_RECORDS:
            what = f"more than {MAX_RECORDS:,} records have come of this request"
            asked.answered.set_exception(RequestError(what, code="answer.too_large", hint="read them from the output endpoint"))
            return
        asked.found[sequence] = asyncio.create_task(self._body(sequence))

    async def _body(self, sequence: int) -> bytes | None:
        stored: StoredMessage | None = await get_message(self._client, self._stream, {"seq": sequence})
        return stored.data if stored is not None else None

    def _settle(self, asked: _Asked) -> None:
        """Answers a request for which all is known."""
        if asked.answered.done() or asked.is_finishing:
            return
        if self._flow.advance(asked.progress, asked.path):
            asked.is_finishing = True
            if (dead := self._dead_of(asked)) is not None:
                asked.answered.set_exception(dead)
            elif not asked.found:
                asked.answered.set_result(Answer([]))
            else:
                asyncio.gather(*(task for _, task in sorted(asked.found.items())), return_exceptions=True).add_done_callback(
                    lambda bodies: _finish(asked.answered, bodies)
                )
        elif (failed := self._flow.failure(asked.progress, asked.path)) is not None:
            asked.answered.set_exception(_failed(failed[0], failed[1].message))
        elif asked.early is None and self._is_seen(asked) and self._flow.is_made(asked.progress, asked.path):
            asked.early = asyncio.create_task(self._answer_early(asked))

    def _is_seen(self, asked: _Asked) -> bool:
        """Whether all that comes of a request has been seen on its way to an output endpoint that passes it on as it is."""
        return asked.first >= self._start and self._feed.covers(asked.path.outlet)

    async def _answer_early(self, asked: _Asked) -> None:
        """Answers with what is on its way out; where that cannot be told, the answer comes when it has left."""
        records = await self._feed.records(asked.path.outlet, asked.roots, asked.first)
        if records is None or len(records) > MAX_RECORDS or asked.answered.done():
            return
        if (dead := self._dead_of(asked)) is not None:
            asked.answered.set_exception(dead)
        else:
            asked.answered.set_result(Answer(records))

    def _dead_of(self, asked: _Asked) -> ThalwegError | None:
        """Why a record of a request has become a dead letter on its way, where one has."""
        dead = next((self._dead[root] for root in asked.roots if root in self._dead), None)
        return _failed(*dead) if dead is not None and dead[0] in {one.name for one in asked.path.vertices} else None


def _finish(answered: asyncio.Future[Answer], bodies: asyncio.Future[list[Any]]) -> None:
    if answered.done() or bodies.cancelled():
        return
    found = bodies.result()
    if any(isinstance(one, BaseException) for one in found):
        answered.set_exception(UnreachableError("the log does not answer", code="nats.unreachable"))
    elif any(one is None for one in found):
        answered.set_exception(RequestError("what came of this request is not kept any more", code="answer.trimmed"))
    else:
        answered.set_result(Answer(found))


def _failed(vertex: str, reason: str) -> ThalwegError:
    return RequestError(f"{vertex} has failed on it: {reason}", code="graph.failed", vertex=vertex, reason=reason)
