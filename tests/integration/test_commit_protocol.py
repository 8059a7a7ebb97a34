"""The commit protocol on a real nats-server: fences, lost replies, back-pressure, cut values, silent readers, atomic batches."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from thalweg import Context, component
from thalweg.bus.connection import Client, connect
from thalweg.bus.deployments import create_log, delete_deployment, ensure_bucket, purge_below
from thalweg.bus.heads import get_message, last_message, read_heads
from thalweg.bus.retiring import retire
from thalweg.bus.vertex_log import VertexLog
from thalweg.embedded import EmbeddedStack
from thalweg.errors import FencedOutError, RunFailedError
from thalweg.graph.parse import parse_type
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Engine, Limits
from thalweg.runtime.log import Recovered
from thalweg.runtime.loop import VertexLoop, claim, refuse
from thalweg.sdk.component import component_of
from thalweg.sdk.release import ComponentRelease
from thalweg.wire import subjects
from thalweg.wire.batch import batch_decoder, encode_batch
from thalweg.wire.commit import END_OF_TIME, Commit, Failure
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec

_numbers = itertools.count()
_encode = msgspec.msgpack.Encoder().encode
EDGE = EdgeSpec("up", "out", "in", "int")


@asynccontextmanager
async def log_of(stack: EmbeddedStack, **settings: int) -> AsyncIterator[tuple[Client, DeploymentSpec]]:
    client = await connect(stack.nats_url, "test")
    spec = DeploymentSpec("default", f"protocol-{next(_numbers)}", "test", [], **settings)  # type: ignore[arg-type]
    await ensure_bucket(client, "default")
    await create_log(client, spec)
    try:
        yield client, spec
    finally:
        await delete_deployment(client, "default", spec.name)
        await client.close()


def view(client: Client, spec: DeploymentSpec, vertex: str, *edges: EdgeSpec) -> VertexLog:
    return VertexLog(client, spec.workspace, spec.name, vertex, list(edges), in_arrival_order=False)


def body(*values: object) -> bytes:
    count = len(values)
    return encode_batch([_encode(one) for one in values], list(range(count)), list(range(count)), 0, None)


async def test_a_stale_writer_is_fenced_out_and_stores_nothing(stack: EmbeddedStack) -> None:
    async with log_of(stack) as (client, spec):
        old, new = view(client, spec, "up"), view(client, spec, "up")
        first = (await claim(old)).commit
        assert first is not None and first.epoch == 1
        await old.write([("out", body(1))], Commit(epoch=1, number=2))
        second = (await claim(new)).commit
        assert second is not None and (second.epoch, second.number) == (2, 3)
        with pytest.raises(FencedOutError):
            await old.write([("out", body(2))], Commit(epoch=1, number=3))
        await new.write([("out", body(3))], Commit(epoch=2, number=4))
        last = await last_message(client, subjects.stream("default", spec.name), subjects.vertex_prefix("default", spec.name, "up"))
        assert last is not None and last.data == body(3) and last.sequence == 4


async def test_two_copies_that_claim_at_once_leave_one(stack: EmbeddedStack) -> None:
    async with log_of(stack) as (client, spec):
        answers = await asyncio.gather(*(claim(view(client, spec, "up")) for _ in range(5)), return_exceptions=True)
        won = [one for one in answers if not isinstance(one, BaseException)]
        assert all(isinstance(one, FencedOutError) for one in answers if isinstance(one, BaseException))
        epochs = [one.commit.epoch for one in won if one.commit]
        assert len(epochs) == len(set(epochs)) >= 1


async def test_a_commit_whose_reply_was_lost_is_stored_once(stack: EmbeddedStack) -> None:
    async with log_of(stack) as (client, spec):
        log = view(client, spec, "up")
        await claim(log)
        real = log.writer._try
        losses = iter([True, False, True, True, False])

        async def lossy(outgoing: object, timeout_s: float) -> object:
            answer = await real(outgoing, timeout_s)  # type: ignore[arg-type]
            return None if next(losses, False) else answer

        log.writer._try = lossy  # type: ignore[method-assign, assignment]
        for number in range(2, 8):
            await log.write([("out", body(number))], Commit(epoch=1, number=number))
        stream = subjects.stream("default", spec.name)
        stored = [await get_message(client, stream, {"seq": sequence}) for sequence in range(1, 9)]
        assert [one.commit.number for one in stored if one is not None and one.commit is not None] == list(range(1, 8))
        assert log.writer.recovered_count == 3


async def test_a_full_subject_makes_the_writer_wait_until_it_is_trimmed(stack: EmbeddedStack) -> None:
    async with log_of(stack, max_messages_per_subject=8) as (client, spec):
        log = view(client, spec, "up")
        await claim(log)
        for number in range(2, 10):
            await log.write([("out", body(number))], Commit(epoch=1, number=number))
        waiting = asyncio.create_task(log.write([("out", body(10))], Commit(epoch=1, number=10)))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done and log.writer.blocked_count > 0
        await purge_below(client, "default", spec.name, subjects.port("default", spec.name, "up", "out"), 6)
        await asyncio.wait_for(waiting, 5)


async def test_a_commit_over_several_ports_is_whole_or_not_there(stack: EmbeddedStack) -> None:
    async with log_of(stack, max_messages_per_subject=3) as (client, spec):
        log = view(client, spec, "up")
        await claim(log)
        for number in range(2, 5):
            await log.write([("a", body(number)), ("b", body(-number))], Commit(epoch=1, number=number))
        other = view(client, spec, "up")
        await other.recover()
        blocked = asyncio.create_task(log.write([("fresh", body(5)), ("a", body(5))], Commit(epoch=1, number=5)))
        await asyncio.wait({blocked}, timeout=0.3)
        assert not any(".fresh." in head.subject for head in await read_heads(client, "default", spec.name))
        await purge_below(client, "default", spec.name, subjects.port("default", spec.name, "up", "a"), 7)
        await asyncio.wait_for(blocked, 5)
        assert {head.subject.split(".")[5] for head in await read_heads(client, "default", spec.name)} == {"_commit", "a", "b", "fresh"}


@pytest.mark.parametrize("megabytes", [1, 8, 31, 33, 300])
async def test_values_of_any_size_arrive_whole(stack: EmbeddedStack, megabytes: int) -> None:
    async with log_of(stack) as (client, spec):
        writer, reader = view(client, spec, "up"), view(client, spec, "down", EDGE)
        await claim(writer)
        value = bytes([megabytes % 251]) * (megabytes << 20)
        await writer.write([("out", body(value))], Commit(epoch=1, number=2, watermark=7))
        await writer.write([("out", body(b"behind it"))], Commit(epoch=1, number=3))
        await reader.open({EDGE.key: (1, 0)})
        message = await asyncio.wait_for(reader.next(), 60)
        after = await asyncio.wait_for(reader.next(), 60)
        await reader.close()
        decoder = batch_decoder(bytes)
        assert decoder.decode(message.body).v == [value] and message.watermark == 7
        assert decoder.decode(after.body).v == [b"behind it"]
        assert message.last - message.first == max(0, -(-len(message.body) // (4 << 20)) - 1)


async def test_a_value_beyond_the_limit_is_refused_with_its_size(stack: EmbeddedStack) -> None:
    async with log_of(stack) as (client, spec):
        log = view(client, spec, "up")
        await claim(log)
        log.writer._messages([("out", b"x" * (5 << 20))], Commit(epoch=1, number=2))
        with pytest.raises(RunFailedError, match="larger than the log takes"):
            log.writer._messages([("out", b"x")] * 901, Commit(epoch=1, number=2))


async def test_a_reader_whose_consumer_is_gone_notices_and_goes_on(stack: EmbeddedStack) -> None:
    async with log_of(stack) as (client, spec):
        writer, reader = view(client, spec, "up"), view(client, spec, "down", EDGE)
        await claim(writer)
        await reader.open({EDGE.key: (1, 0)})
        await writer.write([("out", body(1))], Commit(epoch=1, number=2))
        assert (await asyncio.wait_for(reader.next(), 5)).first == 2
        stream = subjects.stream("default", spec.name)
        await client.request(f"$JS.API.CONSUMER.DELETE.{stream}.{reader.readers[0]._consumer}", b"")
        for number in range(3, 6):
            await writer.write([("out", body(number))], Commit(epoch=1, number=number))
        got = [(await asyncio.wait_for(reader.next(), 10)).first for _ in range(3)]
        await reader.close()
        assert got == [3, 4, 5] and reader.readers[0].reopened_count >= 1


async def test_a_consumer_that_is_deleted_in_the_middle_of_a_cut_value_is_noticed(stack: EmbeddedStack) -> None:
    async with log_of(stack) as (client, spec):
        writer, reader = view(client, spec, "up"), view(client, spec, "down", EDGE)
        await claim(writer)
        values = [bytes([number]) * (33 << 20) for number in (1, 2)]
        for number, value in enumerate(values, 2):
            await writer.write([("out", body(value))], Commit(epoch=1, number=number))
        await reader.open({EDGE.key: (1, 0)})
        (inner,) = reader.readers
        real, pieces = inner._join, itertools.count(1)
        gone: list[asyncio.Task[None]] = []

        def join(subject: str, sequence: int, headers: dict[str, str], data: bytes) -> None:
            real(subject, sequence, headers, data)
            if next(pieces) == 3:
                name = f"$JS.API.CONSUMER.DELETE.{subjects.stream('default', spec.name)}.{inner._consumer}"
                gone.append(asyncio.create_task(client.publish(name, b"")))

        inner._join = join  # type: ignore[method-assign]
        got = [await asyncio.wait_for(reader.next(), 30) for _ in values]
        await asyncio.gather(*gone)
        await reader.close()
        assert [batch_decoder(bytes).decode(one.body).v for one in got] == [[value] for value in values]
        assert inner.reopened_count >= 1


async def test_a_claim_that_races_the_old_copys_last_commit_rolls_nothing_back(stack: EmbeddedStack) -> None:
    async with log_of(stack) as (client, spec):
        old, new = view(client, spec, "up"), view(client, spec, "up")
        await claim(old)
        await old.write([("out", body(1))], Commit(epoch=1, number=2, positions={"s": (5, 0)}))
        real, late = new.recover, iter([Commit(epoch=1, number=3, positions={"s": (6, 0)})])

        async def recover() -> Recovered:
            found = await real()
            for commit in late:  # lands between the new copy's look and its claim
                await old.write([("out", body(2))], commit)
            return found

        new.recover = recover  # type: ignore[method-assign]
        claimed = (await claim(new)).commit
        assert claimed is not None
        assert (claimed.epoch, claimed.number, claimed.positions) == (2, 4, {"s": (6, 0)})
        with pytest.raises(FencedOutError):
            await old.write([("out", body(3))], Commit(epoch=1, number=4))


@component("slow-end", version="1.0.0")
class SlowEnd:
    """Waits at its end until it is let go."""

    may_end = threading.Event()

    def process(self, record: int) -> int:
        """As it is."""
        return record

    def finish(self, context: Context) -> None:
        """Waits."""
        self.may_end.wait(20)


async def test_a_vertex_that_is_killed_after_it_has_read_its_inputs_end_still_ends(stack: EmbeddedStack) -> None:
    async with log_of(stack) as (client, spec):
        up, down = view(client, spec, "up"), subjects.vertex_prefix("default", spec.name, "down")
        await claim(up)
        await up.write([("out", body(*range(4)))], Commit(epoch=1, number=2, watermark=END_OF_TIME, ended=True))
        release = ComponentRelease(component_of(SlowEnd), SlowEnd.__module__)
        mine = VertexSpec("down", "slow-end@1.0.0", "", "", "processor", inputs=[EDGE], outputs={"out": "int"})

        def start() -> tuple[Engine, asyncio.Task[None]]:
            engine = assemble(mine, release, {}, {}, Limits(records=4), parse_type)
            return engine, asyncio.create_task(VertexLoop(engine, view(client, spec, "down", EDGE), None, None).run())

        async def committed() -> Commit | None:
            last = await last_message(client, subjects.stream("default", spec.name), down)
            return last.commit if last is not None else None

        killed, task = start()
        killed.program.is_async = True  # its end is waited for on a thread
        async with asyncio.timeout(20):
            while (commit := await committed()) is None or commit.counters.records_in < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        task.cancel()
        SlowEnd.may_end.set()
        await asyncio.gather(task, return_exceptions=True)
        assert not commit.ended
        again, task = start()
        await asyncio.wait_for(task, 20)
        last = await committed()
        assert again.ended and last is not None and last.ended and last.counters.records_out == 4


async def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path_factory: pytest.TempPathFactory) -> None:
    with EmbeddedStack(tmp_path_factory.mktemp("killed")) as stack:
        async with log_of(stack) as (client, spec):
            writer, reader = view(client, spec, "up"), view(client, spec, "down", EDGE)
            await claim(writer)
            await reader.open({EDGE.key: (1, 0)})

            async def write() -> None:
                for number in range(2, 302):
                    await writer.write([("out", body(number))], Commit(epoch=1, number=number))

            writing = asyncio.create_task(write())
            server = stack.processes[0]
            got: list[int] = []
            for kill_after in (50, 120, 200):
                while len(got) < kill_after:
                    message = await asyncio.wait_for(reader.next(), 30)
                    got += batch_decoder(int).decode(message.body).v
                await asyncio.to_thread(server.wait_ready, 20)  # the reader may be so far ahead that it is still dead
                pid = server.pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
            while len(got) < 300:
                got += batch_decoder(int).decode((await asyncio.wait_for(reader.next(), 30)).body).v
            await writing
            await reader.close()
            assert got == list(range(2, 302))


async def test_a_retired_vertex_is_fenced_out_for_good_by_any_number_at_once(stack: EmbeddedStack) -> None:
    async with log_of(stack, max_messages_per_subject=4) as (client, spec):
        old = view(client, spec, "up")
        await claim(old)
        for number in range(2, 6):  # its subject is full now
            await old.write([("out", body(number))], Commit(epoch=1, number=number, positions={"x.out>in": (number, 1)}))
        vertex = VertexSpec("up", "c@1", "", "", "processor", outputs={"out": "int"}, retired=3)
        found = await asyncio.gather(*(retire(client, spec, vertex) for _ in range(4)))
        assert {(one.epoch, one.number, one.retired) for one in found} == {(2, 6, 3)}
        assert found[0].positions == {"x.out>in": (5, 1)}
        with pytest.raises(FencedOutError):
            await old.write([("out", body(6))], Commit(epoch=1, number=6))
        again = (await claim(view(client, spec, "up"))).commit
        assert again is not None and (again.epoch, again.retired) == (2, 3), "a copy that knows nothing of it takes nothing over"
        await refuse(view(client, spec, "up"), Failure("no", "vertex.crash_loop"))
        assert await retire(client, spec, vertex) == again


async def test_one_that_never_wrote_is_retired_and_one_that_has_ended_is_left_as_it_is(stack: EmbeddedStack) -> None:
    async with log_of(stack) as (client, spec):
        vertex = VertexSpec("up~1", "c@1", "", "", "processor", retired=3)
        assert (await retire(client, spec, vertex)).positions == {}
        ended = view(client, spec, "up~2")
        await claim(ended)
        await ended.write([("out", body(1))], Commit(epoch=1, number=2, ended=True))
        assert (await retire(client, spec, msgspec.structs.replace(vertex, name="up~2"))).retired == 0
