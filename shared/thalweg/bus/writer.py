"""Appends commits to a deployment log: fenced, exactly once, whatever becomes of the reply."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from thalweg.bus import errors
from thalweg.bus.heads import StoredMessage, last_message
from thalweg.errors import FencedOutError, RunFailedError, StaleClaimError
from thalweg.wire import subjects
from thalweg.wire.boundary import RECORDS_HEADER, count_records, release
from thalweg.wire.commit import CHUNK_HEADER, HEADER, Commit, encode_commit
from thalweg.wire.subjects import COMMIT_PORT, DEAD_PORT, STATE_PORT

_log = logging.getLogger("thalweg.bus")
WRITER_HEADER = "Tw-Writer"
FENCE, FENCE_SUBJECT = "Nats-Expected-Last-Subject-Sequence", "Nats-Expected-Last-Subject-Sequence-Subject"
CHUNK_BYTES = 4 << 20
MAX_PIECES = 900  # JetStream takes at most 1,000 messages in one atomic batch
FIRST_TIMEOUT_S, LAST_TIMEOUT_S = 2.0, 30.0
FLUSH_EVERY_BYTES = 16 << 20
_WAITS_S = (0.005, 0.01, 0.02, 0.05, 0.1)
_MAX_REFUSALS = 20
_NO_LEADER = -1
# What says nothing of the commit: it may be stored, or on its way, or is to be sent again.
_QUESTIONS = errors.TEMPORARY | {None, _NO_LEADER, errors.WRONG_LAST_SEQUENCE_CONSTANT, errors.INCOMPLETE_BATCH}

_ASIDE = frozenset({STATE_PORT, DEAD_PORT})
_pack = msgspec.msgpack.Encoder().encode
Part = tuple[str, bytes]
Outgoing = tuple[str, dict[str, str], bytes]


class Writer:
    """The only writer of one vertex's subjects.

    Args:
        client: NATS connection.
        workspace, deployment, vertex: whose log and prefix.
        outlet: name of the port whose records leave the graph, each as a message of its own.
        traced: messages say how many records they have.
    """

    def __init__(
        self, client: Client, workspace: str, deployment: str, vertex: str, *, outlet: str | None = None, traced: bool = False
    ) -> None:
        self._outlet, self._traced = outlet, traced
        self._client, self._place = client, (workspace, deployment, vertex)
        self._stream = subjects.stream(workspace, deployment)
        self._prefix = subjects.vertex_prefix(workspace, deployment, vertex)
        self._name = os.urandom(8).hex()
        self.last_sequence = 0
        self.recovered_count = self.blocked_count = 0

    async def write(self, parts: list[tuple[str, bytes]], commit: Commit) -> None:
        """Appends `parts` as one commit; returns when it is stored, once.

        Raises:
            FencedOutError: a newer copy has claimed the vertex.
            StaleClaimError: this is a claim, and an older copy has written since the log was read for it.
            RunFailedError: the commit can never be stored (`commit.too_large`, or the server says why).
        """
        outgoing = self._messages(parts, commit)
        timeout_s, waits, asked, refused = FIRST_TIMEOUT_S, 0, 0, 0
        while True:
            answer = await self._try(outgoing, timeout_s)
            if answer is not None and "error" not in answer:
                self.last_sequence = int(answer["seq"])
                return
            error: dict[str, Any] = answer["error"] if answer is not None else {}
            code = error.get("err_code")
            if code == errors.STORE_FAILED:
                await self._wait_for_room(waits)
                waits += 1
                continue
            if answer is None:
                timeout_s = min(timeout_s * 2, LAST_TIMEOUT_S)
            if code in _QUESTIONS:
                # Short at first: a cluster acknowledges a commit a moment before it takes the next one.
                await asyncio.sleep(_WAITS_S[min(asked, len(_WAITS_S) - 1)])
                self.recovered_count += 1
                asked += 1
            elif code != errors.WRONG_LAST_SEQUENCE:
                refused += 1
                _log.warning("commit %d refused: %s", commit.number, error)
                if refused > _MAX_REFUSALS:
                    raise RunFailedError(f"the log refuses a commit: {error.get('description')}", code="commit.refused", **error)
                await asyncio.sleep(0.1)
            if await self._is_stored(commit):
                return

    async def _is_stored(self, commit: Commit) -> bool:
        """Reads the last message under the own prefix: mine, the one before mine, or a newer copy's.

        A lost reply and a fence error are questions, not verdicts: after a leader change even an unfenced writer may be told
        «wrong last sequence».
        """
        last = await last_message(self._client, self._stream, self._prefix)
        if last is None:
            self.last_sequence = 0
            return False
        if last.headers.get(WRITER_HEADER) == self._name:
            self.last_sequence = last.sequence
            return last.commit is not None and last.commit.number == commit.number
        if last.commit is None or last.commit.epoch >= commit.epoch:
            raise FencedOutError(f"vertex {self._place[2]} runs in a newer copy", code="vertex.fenced_out")
        # Only a claim gets here: once it is stored, no older copy can write. What it took over is no longer the last word.
        raise StaleClaimError(f"vertex {self._place[2]} has written meanwhile", code="vertex.stale_claim")

    async def _wait_for_room(self, waits: int) -> None:
        self.blocked_count += 1
        await asyncio.sleep(_WAITS_S[min(waits, len(_WAITS_S) - 1)])

    def _messages(self, parts: list[tuple[str, bytes]], commit: Commit) -> list[Outgoing]:
        size = min(CHUNK_BYTES, max(self._client.max_payload - 65_536, 65_536))
        outgoing: list[Outgoing] = []
        if self._outlet is not None:
            outgoing, parts = self._release(parts, commit, size)
        for port, body in parts:
            subject = subjects.port(*self._place, port)
            count = max(1, -(-len(body) // size))
            for index in range(count):
                headers = {CHUNK_HEADER: f"{index + 1}/{count}"} if count > 1 else {}
                headers[WRITER_HEADER] = self._name
                if index == count - 1:
                    headers[HEADER] = encode_commit(commit)
                    if self._traced and port not in _ASIDE:
                        headers[RECORDS_HEADER] = str(count_records(body))
                piece = body if count == 1 else body[index * size : (index + 1) * size]
                outgoing.append((subject, headers, piece))
        if len(outgoing) > MAX_PIECES:
            total = sum(len(body) for _, body in parts)
            raise RunFailedError(
                f"a commit of {total:,} bytes is larger than the log takes ({MAX_PIECES * size:,})", code="commit.too_large"
            )
        return outgoing

    def _release(self, parts: list[Part], commit: Commit, size: int) -> tuple[list[Outgoing], list[Part]]:
        """What leaves the graph, and the parts that stay. Last is a message under the own prefix: its sequence is that of the commit."""
        outgoing: list[Outgoing] = []
        kept: list[Part] = []
        subject, state = subjects.outlet(*self._place), None
        for port, body in parts:
            if port != self._outlet:
                kept.append((port, body))
                continue
            released, state = release(body, commit.ports[port].count)
            for one in released:
                if len(one.value) > size:
                    what = f"a record of {len(one.value):,} bytes is larger than one message may be ({size:,})"
                    raise RunFailedError(f"{self._place[2]}: {what}", code="record.too_large", hint="only inside the graph are values cut")
                outgoing.append((subject, one.headers, one.value))
        if not any(port == COMMIT_PORT for port, _ in kept):
            kept.append((COMMIT_PORT, _pack({"v": [], "t": [], "k": [], "s": state})))
        return outgoing, kept

    async def _try(self, outgoing: list[Outgoing], timeout_s: float) -> dict[str, Any] | None:
        """One attempt; None when no reply came."""
        fence = {FENCE: str(self.last_sequence), FENCE_SUBJECT: self._prefix}
        try:
            if len(outgoing) == 1:
                subject, headers, body = outgoing[0]
                reply = await self._client.request(subject, body, timeout=timeout_s, headers={**headers, **fence})
            else:
                reply = await self._try_batch(outgoing, fence, timeout_s)
        except NoRespondersError:
            return {"error": {"err_code": _NO_LEADER}}  # told at once, so that the next try need not wait longer
        except (NatsError, OSError, TimeoutError) as error:
            _log.info("no reply to a commit: %s", type(error).__name__)
            return None
        answer: dict[str, Any] = json.loads(reply.data)
        return answer

    async def _try_batch(self, outgoing: list[Outgoing], fence: dict[str, str], timeout_s: float) -> Any:
        """All messages or none, by an atomic batch publish (NATS ADR-50)."""
        batch, waiting = os.urandom(12).hex(), 0
        total = sum(len(body) for _, _, body in outgoing)
        fenced = next(number for number, (subject, _, _) in enumerate(outgoing, 1) if subjects.parse_port(subject) is not None)
        for number, (subject, headers, body) in enumerate(outgoing, 1):
            head = {**headers, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
            if number == fenced:
                head |= fence
            if number == len(outgoing):
                head["Nats-Batch-Commit"] = "1"
                return await self._client.request(subject, body, timeout=timeout_s + total / 10_000_000, headers=head)
            await self._client.publish(subject, body, headers=head)
            waiting += len(body)
            if waiting >= FLUSH_EVERY_BYTES:
                await self._client.flush(timeout=30)
                waiting = 0
        raise AssertionError("a batch has a last message")


def chunk_count(message: StoredMessage) -> int:
    """Of how many messages the body is made that `message` is the last piece of."""
    return int(message.headers.get(CHUNK_HEADER, "1/1").partition("/")[2])
