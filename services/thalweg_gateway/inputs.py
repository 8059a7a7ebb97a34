"""Takes records in: by POST, with or without an answer, and by WebSocket."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from thalweg.bus.connection import Client
from thalweg.bus.inlets import PartlyStoredError, publish
from thalweg.errors import ThalwegError, UnreachableError
from thalweg.sdk.outside import Outside
from thalweg.wire.boundary import inlet_id, inlet_sequence
from thalweg_gateway.answers import Answer, Watch
from thalweg_gateway.bodies import collect, read_records, too_large
from thalweg_gateway.directory import Directory, Route
from thalweg_gateway.flow import Path, find_path, reachable_outlets
from thalweg_gateway.rates import Rates
from thalweg_gateway.refusals import RequestError, refusal, told
from thalweg_gateway.showing import json_list, natural
from thalweg_gateway.watches import Watches

MAX_WAIT_S, BODY_TIMEOUT_S = 60.0, 60.0
_WAIT = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(ms|s|)")
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class Inputs:
    """Input endpoints of a workspace.

    Attributes:
        client: NATS connection.
        directory: where URLs lead.
        rates: what each caller may send.
        watches: where answers come from.
        body_timeout_s: how long a body may take.
    """

    client: Client
    directory: Directory
    rates: Rates
    watches: Watches
    body_timeout_s: float = BODY_TIMEOUT_S

    async def post(self, request: Request, route: Route) -> Response:
        """Stores the records of a body: 202 with their ids, or what came of them where the request waits for that."""
        key = _idempotency_key(request)
        wait_s = _wait_s(request.query_params.get("wait"))
        body = await self._body(request, route)
        records = await read_records(request.headers, body, route.outside)
        if not records:
            raise RequestError("there is no record in the body", code="body.unreadable")
        if (path := self._path(request, route)) is not None and wait_s is not None:
            watch = await self.watches.of(route.spec)  # before anything is stored: what comes of it is seen
            return await self._answered(route, await self._store(route, records, key), watch, path, wait_s)
        return self._accepted(route, await self._store(route, records, key), is_list=len(records) > 1)

    async def ask_again(self, request: Request, route: Route, record: str) -> Response:
        """What came of a record that was sent before."""
        sequence = inlet_sequence(route.vertex.name, int(record, 16)) if re.fullmatch("[0-9a-f]{16}", record) else None
        if sequence is None:
            raise RequestError(f"{record[:40]!r} is no id of a record of {route.vertex.name}", code="record.unknown")
        path = self._path(request, route, is_asked=True)
        assert path is not None
        wait_s = _wait_s(request.query_params.get("wait")) or 0.5
        return await self._answered(route, [sequence], await self.watches.of(route.spec), path, wait_s)

    async def stream(self, socket: WebSocket, route: Route) -> None:
        """Takes bodies from a WebSocket, one a message, and answers each as a POST.

        Text is JSON; bytes are of the content type that `type=` says, else msgpack.
        """
        content_type = socket.query_params.get("type", "application/msgpack")
        await socket.accept()
        limit = int(route.param("max_body_bytes"))
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                text, data = message.get("text"), message.get("bytes")
                body = text.encode() if text is not None else data or b""
                if len(body) > limit:
                    await socket.close(1009, f"more than {limit:,} bytes")
                    return
                await socket.send_text(await self._streamed(route, body, content_type if text is None else "application/json"))
        except (WebSocketDisconnect, RuntimeError):
            return  # the other side is gone

    async def _streamed(self, route: Route, body: bytes, content_type: str) -> str:
        try:
            records = await read_records({"content-type": content_type}, body, route.outside)
            if not records:
                raise RequestError("there is no record in the message", code="body.unreadable")
            current = await self.directory.spec(route.spec.name)
            if current is None or current.desired != "running" or current.deployed_ns != route.spec.deployed_ns:
                raise UnreachableError("the deployment is not running any more", code="deployment.not_running", hint="connect again")
            sequences = await self._store(route, records, None)
        except ThalwegError as error:
            return _text({"error": told(error)})
        return _text(_ids(route, sequences, is_list=len(records) > 1))

    async def _body(self, request: Request, route: Route) -> bytes:
        encoding = request.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise RequestError(f"content encoding {encoding[:40]} is not taken", code="body.type_unknown", hint="send it as it is")
        limit = int(route.param("max_body_bytes"))
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise too_large(limit)
        try:
            async with asyncio.timeout(self.body_timeout_s):
                return await collect(request.stream(), limit)
        except TimeoutError as error:
            raise RequestError(f"the body has not come within {self.body_timeout_s:g} s", code="body.late") from error

    async def _store(self, route: Route, records: list[bytes], key: str | None) -> list[int]:
        """Sequences of stored records.

        Raises:
            RequestError: `rate.exceeded`, `body.too_large`.
            ThalwegError: `endpoint.full` and the like, with the ids of those that are stored.
        """
        largest = self.client.max_payload - 65_536
        if any(len(one) > largest for one in records):
            raise too_large(largest)
        self.rates.spend(f"{route.path}/{route.who}", len(records), float(route.param("rate_per_s")), int(route.param("burst")))
        full_key = f"{route.vertex.name}/{key}" if key is not None else None
        try:
            return await publish(self.client, route.subject, records, full_key)
        except PartlyStoredError as error:
            if error.sequences:
                error.error.facts["ids"] = [_id(route, one) for one in error.sequences]
            raise error.error from error

    def _accepted(self, route: Route, sequences: list[int], *, is_list: bool) -> Response:
        location = f"{route.path}/{_id(route, sequences[0])}"
        return JSONResponse(_ids(route, sequences, is_list=is_list), 202, {"Location": location})

    def _path(self, request: Request, route: Route, *, is_asked: bool = False) -> Path | None:
        """The way to the output endpoint that is to answer; None where nobody waits for one."""
        if not is_asked and "wait" not in request.query_params:
            return None
        there = reachable_outlets(route.spec, route.vertex.name)
        wanted = request.query_params.get("answer") or (there[0] if len(there) == 1 else None)
        if wanted not in there:
            hint = f"answer= one of {', '.join(there)}" if there else "no output endpoint is behind this one"
            raise RequestError("which output endpoint is to answer?", code="answer.none", hint=hint)
        return find_path(route.spec, route.vertex.name, wanted)

    async def _answered(self, route: Route, sequences: list[int], watch: Watch, path: Path, wait_s: float) -> Response:
        roots = [inlet_id(route.vertex.name, one) for one in sequences]
        ids = [_id(route, one) for one in sequences]
        headers = {"Tw-Id": ids[0], "Location": f"{route.path}/{ids[0]}"}
        try:
            answer = await watch.answer(roots, sequences, path, wait_s)
        except ThalwegError as error:
            refused = refusal(error, **({"id": ids[0]} if len(ids) == 1 else {"ids": ids}))
            refused.headers.update(headers)
            return refused
        outlet = next(one for one in path.vertices if one.name == path.outlet)
        return self._show(answer, self.directory.values(outlet.outputs["out"]), headers, is_list=len(ids) > 1)

    def _show(self, answer: Answer, outside: Outside, headers: dict[str, str], *, is_list: bool) -> Response:
        if not answer.records:
            return Response(status_code=204, headers=headers)
        if len(answer.records) == 1 and not is_list:
            shown = natural(answer.records[0], outside)
            return Response(shown.body, headers=headers, media_type=shown.content_type)
        return Response(json_list(answer.records, outside), headers=headers, media_type="application/json")


def _id(route: Route, sequence: int) -> str:
    return f"{inlet_id(route.vertex.name, sequence):016x}"


def _ids(route: Route, sequences: list[int], *, is_list: bool) -> dict[str, Any]:
    ids = [_id(route, one) for one in sequences]
    return {"ids": ids} if is_list else {"id": ids[0]}


def _text(answer: object) -> str:
    return msgspec.json.encode(answer).decode()


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise RequestError("an Idempotency-Key has 1 to 200 visible ASCII characters", code="request.invalid")
    return key


def _wait_s(text: str | None) -> float | None:
    """`5s`, `500ms` or `5`, in seconds; at most `MAX_WAIT_S`."""
    if text is None:
        return None
    found = _WAIT.fullmatch(text)
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else 0.0
    if not 0 < seconds <= MAX_WAIT_S:
        raise RequestError(f"wait={text[:20]} is not more than 0 s and up to {MAX_WAIT_S:g} s, as in wait=5s", code="request.invalid")
    return seconds
