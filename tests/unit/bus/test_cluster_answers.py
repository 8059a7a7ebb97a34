"""What a cluster answers while it has no leader, or one that does not know yet, is asked again, and taken for nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from thalweg.bus import heads
from thalweg.bus.buckets import Bucket
from thalweg.bus.fenced import RefusedError, StaleWriteError, publish_after
from thalweg.bus.follower import Follower
from thalweg.bus.heads import StoredMessage, read_last_of_each
from thalweg.bus.inlets import PartlyStoredError, publish
from thalweg.bus.streams import create_stream, match_replicas
from thalweg.bus.writer import Writer
from thalweg.errors import RejectedError, UnreachableError
from thalweg.wire.commit import Commit

NO_LEADER: dict[str, Any] = {"error": {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}}
IN_PROCESS: dict[str, Any] = {"error": {"code": 400, "err_code": 10164, "description": "wrong last sequence"}}
STALE: dict[str, Any] = {"error": {"code": 400, "err_code": 10071, "description": "wrong last sequence: 7"}}
NO_PEERS: dict[str, Any] = {"error": {"code": 400, "err_code": 10005, "description": "no suitable peers for placement"}}
Answer = dict[str, Any] | Exception


class Server:
    """Stands in for a connection: gives the answers in order, and remembers what was asked."""

    max_payload = 1 << 20

    def __init__(self, *answers: Answer, cluster: str | None = "c") -> None:
        self._answers, self.asked = list(answers), list[tuple[str, bytes]]()
        self._server_info = {"cluster": cluster}

    async def request(self, subject: str, body: bytes, **_: Any) -> Msg:
        """The next answer."""
        self.asked.append((subject, body))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Msg(_client=self.client, data=json.dumps(answer).encode())

    @property
    def client(self) -> Client:
        """As what takes a connection sees it."""
        return cast(Client, self)


@pytest.mark.parametrize("first", [NO_LEADER, IN_PROCESS, NoRespondersError()])
async def test_a_fenced_message_is_sent_again_when_nothing_was_decided(first: Answer) -> None:
    server = Server(first, {"seq": 8})
    assert await publish_after(server.client, "a", b"x", 7) == 8
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("answer", "error"), [(STALE, StaleWriteError), (NatsTimeoutError(), UnreachableError), ({"error": {"err_code": 1}}, RefusedError)]
)
async def test_a_fenced_message_is_not_sent_again_when_it_was_decided_or_may_have_been(answer: Answer, error: type[Exception]) -> None:
    server = Server(answer)
    with pytest.raises(error):
        await publish_after(server.client, "a", b"x", 7)


async def test_a_fenced_message_that_nobody_takes_is_given_up() -> None:
    with pytest.raises(UnreachableError, match="temporarily unavailable"):
        await publish_after(Server(*[NO_LEADER] * 20).client, "a", b"x", 7, timeout_s=0.2)


async def test_a_bucket_without_a_leader_is_not_an_empty_one() -> None:
    server = Server(NO_LEADER, {"state": {"subjects": {"$KV.b.key": 1}}})
    assert await Bucket(server.client, "b").keys() == ["key"]


async def test_a_stream_is_made_once_all_servers_are_back() -> None:
    server = Server(NO_PEERS, NO_LEADER, NO_PEERS, {"config": {}})
    await create_stream(server.client, {"name": "s"}, 3)
    assert {json.loads(body)["num_replicas"] for _, body in server.asked} == {3}


async def test_replicas_without_a_cluster_are_refused_with_a_hint() -> None:
    answer = {"error": {"code": 500, "err_code": 10074, "description": "replicas > 1 not supported in non-clustered mode"}}
    with pytest.raises(RejectedError) as caught:
        await create_stream(Server(answer).client, {"name": "s"}, 3)
    assert caught.value.code == "log.refused" and "THALWEG_REPLICAS" in str(caught.value.hint)


async def test_a_stream_that_cannot_have_its_replicas_says_why() -> None:
    config = {"name": "s", "num_replicas": 3}
    assert await match_replicas(Server({"config": {**config, "num_replicas": 1}}).client, "s") is None
    assert await match_replicas(Server({"config": config}, {"config": {}}).client, "s") is None
    said = await match_replicas(Server({"config": config}, NO_PEERS).client, "s")
    assert said == "stream s has 3 replicas, and not 1: no suitable peers for placement"


@pytest.mark.parametrize("answer", [NO_LEADER, {"error": {"err_code": 10158}}, {"error": {"err_code": 10176}}])
async def test_a_record_from_outside_that_is_not_taken_now_is_to_be_sent_again(answer: Answer) -> None:
    with pytest.raises(PartlyStoredError) as caught:
        await publish(Server(answer).client, "a", [b"x"], "key")
    assert isinstance(caught.value.error, UnreachableError) and caught.value.sequences == []


async def test_a_commit_is_sent_again_however_often_there_is_no_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    async def last(*_: Any) -> None:
        return None

    monkeypatch.setattr("thalweg.bus.writer.last_message", last)
    questions: list[Answer] = [NO_LEADER, NoRespondersError(), IN_PROCESS]
    server = Server(*questions * 10, {"seq": 5})
    writer = Writer(server.client, "default", "d", "v")
    await writer.write([("out", b"x")], Commit(epoch=1, number=1))
    assert (writer.last_sequence, writer.recovered_count) == (5, 30)


def _stored(*sequences: int) -> list[StoredMessage]:
    return [StoredMessage(f"tw.default.d.{kind}.a.out.0", one, {}, b"", None) for kind, one in zip("vi", sequences, strict=False)]


def _readings(monkeypatch: pytest.MonkeyPatch, *found: list[StoredMessage]) -> Callable[[], int]:
    left = list(found)

    async def read(*_: Any) -> list[StoredMessage]:
        return left.pop(0)

    monkeypatch.setattr(heads, "_read_some", read)
    return lambda: len(left)


def _info(last: int, replicas: int = 3) -> dict[str, Any]:
    return {"config": {"num_replicas": replicas, "subjects": ["tw.default.d.>"]}, "state": {"last_seq": last}}


async def test_heads_of_a_server_that_lags_behind_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    left = _readings(monkeypatch, _stored(4), _stored(4, 6))
    newest = {"message": {"subject": "tw.default.d.i.a.out.0", "seq": 6, "time": "2026-01-01T00:00:00Z"}}
    found = await read_last_of_each(Server(_info(6), newest, _info(6)).client, "s", "tw.default.d.v.>")
    assert [one.sequence for one in found] == [4] and left() == 0


async def test_heads_are_whole_when_the_very_last_message_was_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    _readings(monkeypatch, _stored(4))
    newest = {"message": {"subject": "tw.default.d.v.a.out.0", "seq": 4, "time": "2026-01-01T00:00:00Z"}}
    assert len(await read_last_of_each(Server(_info(6), newest).client, "s", "tw.default.d.v.>")) == 1


async def test_heads_of_one_replica_are_not_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    _readings(monkeypatch, _stored(4), _stored(4))
    assert await read_last_of_each(Server(_info(6, 1)).client, "s", "tw.default.d.v.>")
    assert await read_last_of_each(Server(cluster=None).client, "s", "tw.default.d.v.>")


async def test_a_consumer_that_counts_anew_is_given_up() -> None:
    """A server that was started again delivers from the beginning; what was trimmed meanwhile would shift its count."""
    follower = Follower(Server().client, "s", ["a"], 1)
    follower._consumer, follower._subscription = "mine", cast(Any, object())
    follower._outstanding = 64

    async def deliver(sequence: int, delivered: int) -> None:
        reply = f"$JS.ACK.s.mine.1.{sequence}.{delivered}.0.0"
        await follower._on_message(Msg(_client=Server().client, subject="a", reply=reply, data=b""))

    for number in (1, 2):
        await deliver(number, number)
    await deliver(7, 1)
    await deliver(9, 3)  # would be the next by its count
    assert [one.sequence for one in follower.arrived] == [1, 2]
    assert follower._is_lost
    await asyncio.sleep(0)
