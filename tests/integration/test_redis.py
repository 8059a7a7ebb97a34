"""redis-source and redis-sink, against a Valkey server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from integration.database_parts import Copy, Reading
from integration.outside_servers import PASSWORD, Valkey, valkey, wait_until
from thalweg import RecordError, RejectedError, Secret, UnreachableError
from thalweg.errors import FencedOutError
from thalweg.testing import run_component
from thalweg_components.sinks.redis_sink import Params, RedisSink
from thalweg_components.sources.redis_source import RedisSource

KIND = "record{n: int}"
_numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    """Runs for the file."""
    with valkey() as running:
        yield running


@pytest.fixture
def key() -> str:
    """A key that nothing is under."""
    return f"k{next(_numbers)}"


def sink(server: Valkey, key: str, **said: Any) -> Copy:
    """A copy of a vertex that writes."""
    context: dict[str, Any] = {name: said.pop(name) for name in ("epoch", "rewound", "run", "vertex", "formers") if name in said}
    return Copy(RedisSink, KIND, {"key": key} | said, {"url": server.url}, **({"run": f"w/{key}@1"} | context))


def read(server: Valkey, key: str, **said: Any) -> Reading:
    """A copy of a vertex that reads."""
    return Reading(RedisSource, {"key": key, "schema": KIND} | said, {"url": server.url})


def ns(first: int, count: int) -> list[dict[str, Any]]:
    """Records with numbers in a row."""
    return [{"n": n} for n in range(first, first + count)]


def test_a_stream_is_written_once_and_read_back_from_every_cursor(server: Valkey, key: str) -> None:
    one = sink(server, key)
    one.give(1, ns(1, 3))
    one.close()
    again = sink(server, key, epoch=2)
    assert {one.target for one in again.give(1, ns(1, 5))} == {f"redis://127.0.0.1:{server.port}/0/{key}"}
    again.close()
    with read(server, key, follow=False) as reading:
        found = list(reading.items())
        assert [item.value.n for item in found] == [1, 2, 3, 4, 5]
        assert [item.value.n for item in reading.items(found[2].cursor)] == [4, 5]
    first: Any = server.client.xrange(key, count=1)
    assert first[0][1][b"id"] == b"0000000000000001"


def test_an_older_copy_is_fenced_out_and_one_that_went_back_writes_again(server: Valkey, key: str) -> None:
    old, new = sink(server, key, kind="list"), sink(server, key, kind="list", epoch=2)
    new.give(1, ns(1, 1))
    with pytest.raises(FencedOutError):
        old.give(2, ns(2, 1))
    back = sink(server, key, kind="list", epoch=3, rewound=2)
    back.give(1, ns(1, 1))
    assert server.client.lrange(key, 0, -1) == [b'{"n":1}'] * 2
    for one in (old, new, back):
        one.close()


def test_what_retired_partitions_have_written_is_not_written_again(server: Valkey, key: str) -> None:
    old, other = (sink(server, key, kind="list", run=key, vertex=vertex) for vertex in ("sink~1", "sink~2"))
    old.give(1, ns(1, 3))
    other.give(4, ns(4, 1))
    new = sink(server, key, kind="list", run=key, vertex="sink~3", formers={"sink~1": 0, "sink~2": 0, "sink~9": 0})
    new.give(2, ns(2, 3), "sink~1")
    new.give(5, ns(5, 1), "sink~2")
    assert server.client.lrange(key, 0, -1) == [b'{"n":%d}' % n for n in (1, 2, 3, 4, 4, 5)], "4 fell to the one that had not written it"
    with pytest.raises(FencedOutError):
        old.give(9, ns(9, 1))
    for one in (old, other, new):
        one.close()


def test_keys_are_made_of_fields_and_values_expire(server: Valkey, key: str) -> None:
    params = {"key": key + ":{n}", "kind": "value", "payload_field": "text", "expire_s": 100}
    found = run_component(RedisSink, [{"n": 1, "text": "a"}, {"n": 2, "text": "b"}], params, secrets={"url": server.url})
    assert (server.client.get(f"{key}:1"), server.client.get(f"{key}:2")) == (b"a", b"b")
    assert 0 < int(server.client.ttl(f"{key}:1")) <= 100
    assert len(found.outputs["receipts"]) == 2


def test_a_key_that_holds_something_else_is_a_faulty_record(server: Valkey, key: str) -> None:
    server.client.set(key, "text")
    one = sink(server, key)
    with pytest.raises(RecordError, match="WRONGTYPE"):
        one.give(1, ns(1, 1))
    one.close()
    with read(server, key) as reading, pytest.raises(RejectedError, match="WRONGTYPE"):
        reading.take(1)


def test_an_outage_loses_and_doubles_nothing(server: Valkey, key: str) -> None:
    one = sink(server, key)
    one.give(1, ns(1, 1))
    taken: list[int] = []
    reading = read(server, key)

    def follow() -> None:
        for item in reading.items():
            taken.append(item.value.n)
            if len(taken) == 3:
                return

    reader = threading.Thread(target=follow)
    reader.start()
    wait_until(lambda: taken == [1], "the first entry")
    server.stop()
    given: list[Any] = []
    writer = threading.Thread(target=lambda: given.extend(one.give(2, ns(2, 2))))
    writer.start()
    probed = RedisSink()
    probed.url = Secret(server.url)
    with pytest.raises(UnreachableError):
        probed.probe()
    server.start()
    writer.join(20)
    reader.join(20)
    assert (taken, len(given), given[0].attempts > 1) == ([1, 2, 3], 2, True)
    one.close()
    reading.close()


def test_lists_and_channels_are_read(server: Valkey, key: str) -> None:
    server.client.rpush(key, '{"n":1}', "{}", '{"n":2}')
    with read(server, key, kind="list") as reading:
        first, faulty, second = reading.take(3)
        assert (first.value.n, second.value.n) == (1, 2)
        assert f"{key}: not record{{n: int}}" in str(faulty.error)
    channel = sink(server, "news", kind="channel", run="")
    with read(server, "news", kind="channel") as reading:
        taken: list[Any] = []
        thread = threading.Thread(target=lambda: taken.extend(reading.take(1)))
        thread.start()
        wait_until(lambda: server.client.pubsub_numsub("news") == [(b"news", 1)], "it listens")
        channel.give(1, ns(7, 1))
        thread.join(20)
    channel.close()
    assert taken[0].value.n == 7


def test_entries_that_were_trimmed_before_they_were_read_are_told_of(server: Valkey, key: str, caplog: pytest.LogCaptureFixture) -> None:
    ids: list[Any] = [server.client.xadd(key, {"a": n}) for n in range(4)]
    server.client.xtrim(key, maxlen=1, approximate=False)
    with Reading(RedisSource, {"key": key, "follow": False}, {"url": server.url}) as reading, caplog.at_level(logging.WARNING):
        (item,) = reading.items(ids[0].decode())
    assert (item.value.id, item.value.fields) == (ids[3].decode(), {"a": b"3"})
    assert "may have been removed before they were read" in caplog.text


def test_wrong_credentials_and_urls_are_refused_without_showing_them(server: Valkey) -> None:
    for url, said in ((server.url.replace(PASSWORD, "wr0ng-pass"), "WRONGPASS|invalid"), ("hush-hush", "no Redis URL")):
        with pytest.raises(RejectedError, match=said) as found:
            Copy(RedisSink, KIND, {"key": "k"}, {"url": url})
        with pytest.raises(RejectedError, match=said):
            Reading(RedisSource, {"key": "k"}, {"url": url}).take(1)
        assert "wr0ng" not in str(found.value) and "hush" not in str(found.value)


def test_params_say_what_is_wrong_with_them() -> None:
    for params in ({"key": "k", "kind": "list", "max_entries": 3}, {"key": "k", "expire_s": 3}):
        with pytest.raises(ValueError, match=r"only of a"):
            Params.model_validate(params)
