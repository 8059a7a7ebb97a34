"""kafka-source and kafka-sink, against a broker that speaks Kafka's protocol."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from confluent_kafka import Producer

from integration.database_parts import Copy, Reading
from integration.outside_servers import Kafka, free_port, kafka, wait_until
from thalweg import RecordError, RejectedError, UnreachableError
from thalweg.testing import run_component
from thalweg_components.sinks.kafka_sink import KafkaSink, Params
from thalweg_components.sources.kafka_source import KafkaSource

KIND = "record{n: int, who: str?}"
_numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[Kafka]:
    """Runs for the file."""
    with kafka() as running:
        yield running


@pytest.fixture
def topic(server: Kafka) -> str:
    """A topic of three partitions."""
    name = f"t{next(_numbers)}"
    server.make(name, 3)
    return name


def sink(server: Kafka, topic: str, **said: Any) -> Copy:
    """A copy of a vertex that writes."""
    return Copy(KafkaSink, KIND, {"brokers": [server.broker], "topic": topic} | said, {})


def read(server: Kafka, topic: str, **said: Any) -> Reading:
    """A copy of a vertex that reads."""
    return Reading(KafkaSource, {"brokers": [server.broker], "topic": topic, "schema": KIND, "follow": False} | said, {})


def ns(first: int, count: int) -> list[dict[str, Any]]:
    """Records with numbers in a row."""
    return [{"n": n, "who": f"w{n % 7}"} for n in range(first, first + count)]


def test_records_are_read_back_exactly_from_every_cursor(server: Kafka, topic: str) -> None:
    one = sink(server, topic, key_field="who")
    receipts = one.give(1, ns(0, 40))
    one.close()
    assert {one.target for one in receipts} == {f"kafka://{server.broker}/{topic}"}
    assert len({one.reference for one in receipts}) == 40
    with read(server, topic, key_field="key") as reading:
        found = list(reading.items())
    assert sorted(item.value.n for item in found) == list(range(40))
    assert all(item.value.key == item.value.who for item in found)
    for at in (0, 17, 38):  # a restart behind that record
        with read(server, topic) as reading:
            rest = [item.value.n for item in reading.items(found[at].cursor)]
        assert sorted(rest) == sorted(item.value.n for item in found[at + 1 :])


def test_a_repeated_record_has_the_id_that_it_had(server: Kafka, topic: str) -> None:
    for _ in range(2):  # killed before its commit: it is given the same again
        one = sink(server, topic)
        one.give(1, ns(1, 2))
        one.close()
    with Reading(KafkaSource, {"brokers": [server.broker], "topic": topic, "follow": False}, {}) as reading:
        messages = list(reading._source._messages.read([], follow=False))
    assert sorted(dict(one.headers())["thalweg-id"] for one in messages) == [b"%016x" % n for n in (1, 1, 2, 2)]


def test_new_messages_are_followed_and_outages_waited_out(server: Kafka, topic: str) -> None:
    one, reading, taken = sink(server, topic), read(server, topic, follow=True), list[int]()

    def follow() -> None:
        for item in reading.items():
            taken.append(item.value.n)
            if len(taken) == 3:
                return

    reader = threading.Thread(target=follow)
    reader.start()
    one.give(1, ns(1, 1))
    wait_until(lambda: taken == [1], "the first message")
    server.freeze()
    given: list[Any] = []
    writer = threading.Thread(target=lambda: given.extend(one.give(2, ns(2, 2))))
    writer.start()
    writer.join(0.5)
    assert (taken, given) == ([1], [])
    server.thaw()
    writer.join(20)
    reader.join(20)
    assert sorted(taken) == [1, 2, 3] and len(given) == 2
    one.close()
    reading.close()


def test_messages_that_are_no_longer_there_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """Of a cluster inside librdkafka, as Tansu answers nothing where an offset is out of range."""
    cluster = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1})
    brokers = [f"{one.host}:{one.port}" for one in cluster.list_topics(timeout=5).brokers.values()]
    cluster.produce("t", b'{"n": 1}')
    assert cluster.flush(5) == 0
    params = {"brokers": brokers, "topic": "t", "schema": KIND, "follow": False}
    with Reading(KafkaSource, params, {}) as reading, caplog.at_level(logging.WARNING):
        found = [item.value.n for item in reading.items([100, 100, 100, 100])]
    assert found == [1]
    assert "messages from 100 on were removed before they were read" in caplog.text


def test_a_record_that_is_too_large_is_faulty_alone_and_the_others_are_sent_once(server: Kafka, topic: str) -> None:
    records = [{"text": "a"}, {"text": "b" * 2_000_000}, {"text": "c"}]
    place = {"brokers": [server.broker], "topic": topic}
    found = run_component(KafkaSink, records, place | {"payload_field": "text"}, on_error="dead-letter")
    assert found.counters.dead == 1
    assert sorted(run_component(KafkaSource, params=place | {"schema": "str", "follow": False}).out) == ["a", "c"]


def test_payloads_that_do_not_fit_are_faulty_alone(server: Kafka, topic: str) -> None:
    records = [{"text": '{"n": 1}'}, {"text": "{"}, {"text": '{"n": 3}'}]
    run_component(KafkaSink, records, {"brokers": [server.broker], "topic": topic, "payload_field": "text"})
    params = {"brokers": [server.broker], "topic": topic, "schema": "record{n: int}", "follow": False}
    found = run_component(KafkaSource, params=params, on_error="dead-letter")
    assert sorted(one.n for one in found.out) == [1, 3]
    assert "offset" in found.dead[0]["error"] and "not record{n: int}" in found.dead[0]["error"]


def test_without_a_schema_key_and_payload_are_bytes(server: Kafka, topic: str) -> None:
    one = sink(server, topic, key_field="who", payload_field="who")
    one.give(1, [{"n": 1, "who": "me"}])
    one.close()
    found = run_component(KafkaSource, params={"brokers": [server.broker], "topic": topic, "follow": False})
    assert [(one.key, one.payload, one.offset) for one in found.out] == [(b"me", b"me", 0)]


def test_a_topic_that_is_not_there_is_refused_by_the_source_and_its_probe(server: Kafka) -> None:
    with read(server, "nowhere") as reading:
        with pytest.raises(RejectedError, match="nowhere"):
            reading.take(1)
        with pytest.raises(RejectedError, match="nowhere"):
            reading._source.probe()


def test_a_cluster_that_is_away_is_unreachable_and_given_up_after_give_up_after_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thalweg_components.kafka_cluster.ANSWER_TIMEOUT_S", 0.3)
    params = {"brokers": [f"127.0.0.1:{free_port()}"], "topic": "t", "give_up_after_s": 0.2}
    one = Copy(KafkaSink, KIND, params, {})
    with pytest.raises(UnreachableError):
        one._sink.probe()
    with pytest.raises(RecordError, match=r"was away for 0.2 s"):
        one.give(1, ns(1, 1))
    one.close()


def test_params_say_what_is_wrong_with_them() -> None:
    for params in ({"brokers": ["nowhere"], "topic": "t"}, {"brokers": ["a:1"], "topic": "a b"}):
        with pytest.raises(ValueError, match=r"HOST:PORT|topic"):
            Params.model_validate(params)
    with pytest.raises(RejectedError, match="go together"):
        Copy(KafkaSink, KIND, {"brokers": ["a:1"], "topic": "t"}, {"user": "me"})
