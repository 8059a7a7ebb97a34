"""Shows records that leave a graph: by WebSocket, by server-sent events, the newest one by GET."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from thalweg.bus.connection import Client, NatsError
from thalweg.bus.deployments import log_state
from thalweg.bus.follower import Delivered, Follower
from thalweg.bus.heads import last_message
from thalweg.errors import ThalwegError, UnreachableError
from thalweg.runtime.tasks import end_tasks
from thalweg.wire.boundary import ID_HEADER, NUMBER_HEADER, ROOT_HEADER, TIME_HEADER
from thalweg_gateway.directory import Directory, Route
from thalweg_gateway.refusals import RequestError
from thalweg_gateway.showing import Shown, format_of, show

LOOK_S, BEAT_S, SEND_TIMEOUT_S, OPEN_TIMEOUT_S = 1.0, 15.0, 20.0, 5.0
MAX_READERS = 500
CLOSE_ENDED, CLOSE_CUT_OFF, CLOSE_FAILED = 1001, 4008, 1011
_FROM = re.compile(r"(now|start|\d{1,18})")
_EVENT_ID = re.compile(r"(\d{1,18})\.(\d{1,18})")


class CutOffError(Exception):
    """A reader gets no more.

    Args:
        reason: why, as it is told.
        code: of the WebSocket's close.
    """

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.reason, self.code = reason, code


@dataclass(frozen=True, slots=True)
class Start:
    """Where a reader begins.

    Attributes:
        sequence: of the log; None for now.
        number: of the record before, which it has; 0 where that is not known.
    """

    sequence: int | None
    number: int = 0


class Outputs:
    """Output endpoints of a workspace. Every reader has a place of its own in the log, and holds up neither the graph nor the others.

    Args:
        client: NATS connection.
        directory: where URLs lead.
    """

    def __init__(self, client: Client, directory: Directory) -> None:
        self._client, self._directory = client, directory
        self._readers = 0
        self._closing: set[asyncio.Task[None]] = set()

    async def get(self, request: Request, name: str, route: Route) -> Response:
        """Server-sent events where they are accepted, else the newest record."""
        accept, asked = request.headers.get("accept", ""), request.query_params.get("format")
        if "text/event-stream" not in accept:
            return await self._newest(route, format_of(asked, accept, route.outside.stream_type))
        start = start_of(request.query_params, request.headers.get("last-event-id"))
        self._check_room()
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(name, route, start), media_type="text/event-stream", headers=headers)

    async def stream(self, socket: WebSocket, name: str, route: Route) -> None:
        """One message a record: text for JSON, bytes for all else. With `meta=1`, JSON with sequence, number, id and time around it."""
        start = start_of(socket.query_params, None)
        form = format_of(socket.query_params.get("format"), socket.headers.get("accept", ""), route.outside.stream_type)
        has_meta = socket.query_params.get("meta") == "1"
        self._check_room()
        await socket.accept()
        reading = asyncio.create_task(self._send_all(socket, name, route, start, "json" if has_meta else form, has_meta))
        leaving = asyncio.create_task(_until_left(socket))
        try:
            await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks(reading, leaving)

    def _check_room(self) -> None:
        if self._readers >= MAX_READERS:
            raise RequestError(f"{MAX_READERS:,} readers are connected already", code="rate.exceeded", hint="try again later")

    async def _newest(self, route: Route, form: str) -> Response:
        try:
            found = await asyncio.wait_for(last_message(self._client, route.stream, route.subject), OPEN_TIMEOUT_S)
        except TimeoutError as error:
            raise UnreachableError("the log does not answer", code="nats.unreachable") from error
        if found is None:
            return Response(status_code=204)
        shown = await _shown(found.data, route, form)
        return Response(shown.body, headers=_names(found.sequence, found.headers), media_type=shown.content_type)

    async def _send_all(self, socket: WebSocket, name: str, route: Route, start: Start, form: str, has_meta: bool) -> None:
        try:
            async with aclosing(self._records(name, route, start)) as records:
                async for message in records:
                    if message is not None:
                        shown = await _shown(message.data, route, form)
                        await _send(socket, _with_meta(message, shown.body) if has_meta else shown.body, is_text=shown.is_text)
        except CutOffError as error:
            with suppress(RuntimeError, TimeoutError):
                await asyncio.wait_for(socket.close(error.code, error.reason), SEND_TIMEOUT_S)
        except (ThalwegError, OSError) as error:
            with suppress(RuntimeError, TimeoutError):
                await asyncio.wait_for(socket.close(CLOSE_FAILED, str(error)[:120]), SEND_TIMEOUT_S)

    async def _events(self, name: str, route: Route, start: Start) -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        try:
            async with aclosing(self._records(name, route, start)) as records:
                async for message in records:
                    yield b": still here\n\n" if message is None else await _event(message, route)
        except CutOffError as error:
            yield b"event: end\ndata: " + msgspec.json.encode({"code": error.code, "reason": error.reason}) + b"\n\n"
        except ThalwegError as error:
            yield b"event: end\ndata: " + msgspec.json.encode({"code": CLOSE_FAILED, "reason": str(error)}) + b"\n\n"

    async def _records(self, name: str, route: Route, start: Start) -> AsyncGenerator[Delivered | None, None]:
        """Records as they come; None now and then while there are none.

        Raises:
            CutOffError: the reader is too slow, or its URL leads elsewhere by now.
        """
        follower = await self._follower(route, start)
        self._readers += 1
        number, silent_s = start.number, 0.0
        try:
            while True:
                try:
                    message = await asyncio.wait_for(follower.next(), LOOK_S)
                except TimeoutError:
                    silent_s += LOOK_S
                    if not await self._is_still_there(name, route):
                        raise CutOffError("the deployment has ended, or the URL leads to another one: connect again", CLOSE_ENDED) from None
                    if silent_s >= BEAT_S:
                        silent_s = 0.0
                        yield None
                    continue
                silent_s, last, number = 0.0, number, int(message.headers.get(NUMBER_HEADER, 0))
                if last and number > last + 1:
                    raise CutOffError(f"too slow: records {last + 1} to {number - 1} are not kept any more", CLOSE_CUT_OFF)
                yield message
        finally:
            # By a task of its own: what is waited for while a response is cancelled is cancelled as well.
            self._readers -= 1
            closing = asyncio.create_task(follower.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _is_still_there(self, name: str, route: Route) -> bool:
        try:
            return await self._directory.is_where(name, route)
        except (UnreachableError, OSError):
            return True  # while the server is away nothing is known

    async def _follower(self, route: Route, start: Start) -> Follower:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                sequence = start.sequence
                if sequence is None:
                    state = await log_state(self._client, route.spec.workspace, route.spec.name)
                    if state is None:
                        raise UnreachableError("the deployment has no log yet", code="deployment.not_running")
                    sequence = state[1] + 1
                follower = Follower(self._client, route.stream, [route.subject], sequence)
                await follower.open()
                return follower
        except (TimeoutError, NatsError, OSError) as error:
            raise UnreachableError("the log does not answer", code="nats.unreachable") from error


def start_of(query: Mapping[str, str], last_event_id: str | None) -> Start:
    """Where to begin: behind the last event that the reader has, else where `from` says, else now.

    Raises:
        RequestError: `request.invalid`.
    """
    if last_event_id and (found := _EVENT_ID.fullmatch(last_event_id)):
        return Start(int(found[1]) + 1, int(found[2]))
    text = query.get("from", "now")
    if _FROM.fullmatch(text) is None:
        raise RequestError("from= is now, start, or a sequence", code="request.invalid")
    return Start({"now": None, "start": 1}[text] if not text.isdigit() else max(1, int(text)))


def _names(sequence: int, headers: Mapping[str, str]) -> dict[str, str]:
    return {"Tw-Sequence": str(sequence)} | {
        name: headers[name] for name in (NUMBER_HEADER, ID_HEADER, ROOT_HEADER, TIME_HEADER) if name in headers
    }


def _with_meta(message: Delivered, value: bytes) -> bytes:
    headers = message.headers
    meta = {
        "sequence": message.sequence,
        "number": int(headers.get(NUMBER_HEADER, 0)),
        "id": headers.get(ID_HEADER),
        "root": headers.get(ROOT_HEADER),
        "time_ns": headers.get(TIME_HEADER),
    }
    return msgspec.json.encode({**meta, "value": msgspec.Raw(value)})


async def _event(message: Delivered, route: Route) -> bytes:
    body = (await _shown(message.data, route, "json")).body  # JSON is one line
    return f"id: {message.sequence}.{message.headers.get(NUMBER_HEADER, '0')}\ndata: ".encode() + body + b"\n\n"


async def _shown(data: bytes, route: Route, form: str) -> Shown:
    if form in ("json", "msgpack"):
        return show(data, route.outside, form)
    return await asyncio.to_thread(show, data, route.outside, form)  # an image may have to be encoded


async def _send(socket: WebSocket, body: bytes, *, is_text: bool) -> None:
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await (socket.send_text(body.decode()) if is_text else socket.send_bytes(body))
    except TimeoutError as error:
        raise CutOffError(f"too slow: nothing was read for {SEND_TIMEOUT_S:g} s", CLOSE_CUT_OFF) from error
    except (RuntimeError, WebSocketDisconnect) as error:
        raise OSError("the reader is gone") from error


async def _until_left(socket: WebSocket) -> None:
    """Returns when the other side has gone; what it sends is of no use."""
    with suppress(WebSocketDisconnect, RuntimeError):
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
