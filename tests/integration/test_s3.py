"""s3-source and s3-sink against a real S3 server: every record once, whatever is killed."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from integration.live import DEADLINE_S, LiveSource, bound
from thalweg import Context, Image, RejectedError, RunFailedError, UnreachableError
from thalweg.artifacts.s3 import connect
from thalweg.embedded.process import ManagedProcess
from thalweg.embedded.servers import HOST, StoreKeys, free_ports, s3_process
from thalweg.sdk.records import python_type
from thalweg.testing import run_component
from thalweg_components.sinks.s3_sink import S3Sink
from thalweg_components.sources.s3_source import S3Source
from unit.runtime.simulator import Simulation, stream

KEYS = {"access_key": "testskey", "secret_key": "testssecretword"}


@dataclass
class Bucket:
    """A bucket of a server that starts again when it is killed."""

    folder: Path
    params: dict[str, Any] = field(init=False)
    process: ManagedProcess = field(init=False)

    def __post_init__(self) -> None:
        (port,) = free_ports(1)
        self.params = {"endpoint": f"http://{HOST}:{port}", "bucket": "tests"}
        self.process = s3_process(self.folder, port, StoreKeys(**KEYS))
        self.process.start()
        self.process.wait_ready(DEADLINE_S)
        self._client: Any = connect(self.params["endpoint"], KEYS["access_key"], KEYS["secret_key"])
        self._client.create_bucket(Bucket="tests")

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket="tests", Key=key, Body=content)

    def objects(self, prefix: str) -> dict[str, bytes]:
        """All under a prefix, by the rest of their keys."""
        listed = self._client.list_objects_v2(Bucket="tests", Prefix=prefix).get("Contents", [])
        return {one["Key"].removeprefix(prefix): self._client.get_object(Bucket="tests", Key=one["Key"])["Body"].read() for one in listed}

    def kill(self) -> None:
        """Kills the server, which starts again."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """One for all tests."""
    found = Bucket(tmp_path_factory.mktemp("s3"))
    yield found
    found.process.stop()


def test_every_record_is_in_one_object_wherever_the_sink_is_killed(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS["access_key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["secret_key"])
    left = {}
    for seed in (None, 1):
        params = {**bucket.params, "prefix": f"kills/{seed}/", "max_records": 5, "max_span_s": 4e-8}  # 40 ns: times are ordinals
        times = [*range(12), *range(100, 112)]
        given = Simulation(S3Sink, {"in": stream(list(range(24)), times)}, params=params).run(seed)
        left[seed] = bucket.objects(f"kills/{seed}/")
        assert len(given.values("receipts")) == len(left[seed])
    assert left[1] == left[None]
    lines = [[json.loads(line) for line in content.splitlines()] for content in left[None].values()]
    assert [number for one in lines for number in one] == list(range(24))
    assert [len(one) for one in lines] == [5, 5, 2, 5, 5, 2]


def test_what_was_written_as_parquet_is_read_back_as_it_was(bucket: Bucket) -> None:
    records = [
        {"n": n, "at": datetime(2024, 1, 1, n, tzinfo=UTC), "tags": ["a"] * n, "name": None if n > 1 else "one"} for n in range(1, 6)
    ]
    params = {**bucket.params, "prefix": "parquet/", "format": "parquet", "max_records": 3}
    found = run_component(S3Sink, records, params, secrets=KEYS)
    receipts = found.outputs["receipts"]
    assert [(one.reference, one.attempts) for one in receipts] == [("3 records", 1), ("2 records", 1)]
    assert set(bucket.objects("parquet/")) == {one.target.removeprefix("s3://tests/parquet/") for one in receipts}
    schema = "record{n: int, at: timestamp, tags: list[str], name: str?}"
    back = run_component(S3Source, params={**bucket.params, "prefix": "parquet/", "format": "parquet", "schema": schema}, secrets=KEYS)
    assert [{"n": one.n, "at": one.at, "tags": one.tags, "name": one.name} for one in back.out] == records


def test_an_outage_is_waited_out(bucket: Bucket) -> None:
    bucket.kill()
    found = run_component(S3Sink, ["kept"], {**bucket.params, "prefix": "outage/"}, secrets=KEYS)
    assert list(bucket.objects("outage/").values()) == [b'"kept"\n'] and len(found.outputs["receipts"]) == 1


def test_a_server_that_refuses_or_is_away_is_told_without_its_secrets(bucket: Bucket) -> None:
    wrong = {"access_key": "nobody", "secret_key": "hiddenwords"}
    with pytest.raises(RunFailedError) as refused:
        run_component(S3Sink, ["a"], bucket.params, secrets=wrong)
    with pytest.raises(RejectedError, match="denied") as denied:
        bound(S3Source, bucket.params, wrong).probe()
    with pytest.raises(RejectedError, match="no such bucket"):
        bound(S3Source, {**bucket.params, "bucket": "elsewhere"}, KEYS).probe()
    with pytest.raises(UnreachableError):
        bound(S3Sink, {**bucket.params, "endpoint": "http://127.0.0.1:9"}, KEYS).probe()
    with pytest.raises(RunFailedError, match="Could not connect"):
        run_component(S3Sink, ["a"], {**bucket.params, "endpoint": "http://127.0.0.1:9", "give_up_after_s": 0.1}, secrets=KEYS)
    assert "hidden" not in repr((str(refused.value), refused.value.hint, str(denied.value), denied.value.hint))


def parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


FORMATS = {
    "jsonl": lambda rows: b"".join(json.dumps(row).encode() + b"\n" for row in rows),
    "csv": lambda rows: b"n,name\n" + b"".join(f"{row['n']},{row['name']}\n".encode() for row in rows),
    "parquet": parquet,
}


@pytest.mark.parametrize("form", FORMATS)
def test_rows_go_on_behind_any_cursor(bucket: Bucket, form: str) -> None:
    for number in range(3):
        rows = [{"n": 10 * number + n, "name": f"row {n}"} for n in range(3)]
        bucket.put(f"rows/{form}/2024-01-0{number}", FORMATS[form](rows))
    bucket.put(f"rows/{form}/2024-01-01b", b"\x00 no such thing")
    params = {**bucket.params, "prefix": f"rows/{form}/", "format": form, "schema": "record{n: int?, name: str?}"}
    source = bound(S3Source, params, KEYS)

    def rest(cursor: Any) -> list[Any]:
        kind = S3Source.resolve_types(source.params, {}, {})["out"]
        context = Context("rows", {}, {"out": kind}, {"out": python_type(kind)})
        return list(source.read(cursor, context))

    whole = rest(None)
    good = [one.value.n for one in whole if hasattr(one, "value")]
    faults = [one.error for one in whole if hasattr(one, "error")]
    assert good == [0, 1, 2, 10, 11, 12, 20, 21, 22] and [fault.where for fault in faults] == [f"rows/{form}/2024-01-01b"]
    for index, one in list(enumerate(whole))[1::6]:
        assert [_shown(left) for left in rest(one.cursor)] == [_shown(left) for left in whole[index + 1 :]]


def _shown(item: Any) -> Any:
    return item.value.n if hasattr(item, "value") else item.error.where


async def test_new_objects_are_followed_and_come_once_over_a_restart(bucket: Bucket) -> None:
    bucket.put("follow/1.jpg", Image.from_array(_gray(8, 6)).data)
    bucket.put("follow/2.txt", b"no picture")
    bucket.put("follow/3.jpg", b"\xff" * 5000)
    params = {**bucket.params, "prefix": "follow/", "format": "image", "follow": True, "poll_s": 0.05, "max_object_bytes": 4000}
    found = LiveSource(S3Source, params, KEYS, on_error="dead-letter")
    running = found.start()
    await running.until(lambda: found.values and len(found.dead) == 2)
    await running.kill()
    bucket.put("follow/4.png", Image.from_array(_gray(4, 4), "png").data)
    running = found.start()
    await running.until_count(2)
    await running.drain()
    assert [(one.key, one.image.width, one.image.format) for one in found.values] == [
        ("follow/1.jpg", 8, "jpeg"),
        ("follow/4.png", 4, "png"),
    ]
    assert [letter["where"] for letter in found.dead] == ["follow/2.txt", "follow/3.jpg"]
    assert abs(found.times[-1] / 1e9 - datetime.now(UTC).timestamp()) < 60


def _gray(width: int, height: int) -> Any:
    return np.full((height, width, 3), 128, np.uint8)
