"""Logs, `top` and metrics of real deployments."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from thalweg.api.calls import Call
from thalweg.api.deployments import STATUS, UNDEPLOY, DeploymentStatus, MaybeNamed, Undeploy
from thalweg.bus.log_stream import NoLogStreamError, ensure_log_stream, publish_records, read_page
from thalweg.bus.streams import call
from thalweg.client import open_session
from thalweg.client.logs import Which, records
from thalweg.client.rates import Look, Rates, rates
from thalweg.embedded import EmbeddedStack
from thalweg.embedded.leftovers import process_of
from thalweg.embedded.servers import free_ports
from thalweg.errors import RejectedError
from thalweg.settings import Settings
from thalweg.wire import subjects
from thalweg.wire.log_record import LogRecord

Q = TypeVar("Q", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)
TALKS = Path(__file__).parent / "talks.py"
DEADLINE_S = 60.0
PLANTED = "planted-0815-token"


@dataclass
class Place:
    """Servers, and a coordinator that serves metrics."""

    stack: EmbeddedStack
    folder: Path
    metrics_port: int

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
        own = {"THALWEG_DATA": str(self.folder), "THALWEG_COMPONENTS": str(TALKS), "THALWEG_METRICS_PORT": str(self.metrics_port)}
        return {**kept, **self.stack.environment(), **own, **more}

    def command(self, *words: str, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        words = (sys.executable, "-m", "thalweg_cli", *words)
        return subprocess.run(
            words,
            env=self.environment(**more),
            input=given,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def asked(self, *words: str) -> Any:
        done = self.command(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def has_said(self, name: str, number: int) -> bool:
        """Whether the vertex `talk` has come so far."""
        found = self.read(name, "talk", last=9)
        return any(one.message.startswith("said ") and int(one.message[5:]) >= number for one in found)

    def read(self, name: str, vertex: str | None = None, **which: Any) -> list[LogRecord]:
        """Log records that there are; none of a vertex that is not known."""
        return asyncio.run(self._read(Which(name, vertex, **which)))

    async def _read(self, which: Which) -> list[LogRecord]:
        async with open_session(self.settings) as session:
            return [one async for one in records(session.client, "default", which, follow=False)]

    def statuses(self) -> list[DeploymentStatus]:
        """Of all deployments."""
        return asyncio.run(self._ask(STATUS, MaybeNamed())).deployments

    def discard(self) -> None:
        """Ends all deployments."""
        for one in self.statuses():
            asyncio.run(self._ask(UNDEPLOY, Undeploy(name=one.name, discard=True)))
        until(lambda: not self.statuses())

    async def _ask(self, call: Call[Q, R], request: Q) -> R:
        async with open_session(self.settings) as session:
            return await session.ask(call, request)

    def rates(self, name: str) -> dict[str, Rates]:
        """By vertex, from two looks."""
        return asyncio.run(self._rates(name))

    async def _rates(self, name: str) -> dict[str, Rates]:
        async with open_session(self.settings) as session:
            looks = []
            for _ in range(2):
                looks.append(Look(time.monotonic(), (await session.ask(STATUS, MaybeNamed(name=name))).deployments[0]))
                await asyncio.sleep(0.3)
        return rates(*looks)

    @property
    def settings(self) -> Settings:
        return Settings(nats_url=self.stack.nats_url)

    def deploy(self, name: str, **talk: Any) -> None:
        vertices = {
            "numbers": {"component": "paced@1.0.0"},
            "talk": {"component": "talk@1.0.0", **talk},
            "listen": {"component": "listen@1.0.0"},
        }
        self.start(name, {"backend": name, "vertices": vertices, "edges": ["numbers.out -> talk.in", "talk.out -> listen.in"]})

    def start(self, name: str, graph: dict[str, Any]) -> None:
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(graph))
        for words in (("apply", f"{name}.yaml"), ("deploy", name)):
            done = self.command(*words)
            assert done.returncode == 0, done.stderr

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as reply:
            text = reply.read().decode()
        found = {}
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                found[" ".join([one.name, *(value for _, value in sorted(one.labels.items()))])] = one.value
        return found


@contextmanager
def _coordinator(place: Place) -> Iterator[None]:
    with (place.folder / "coordinator.txt").open("ab") as output:
        process = subprocess.Popen([sys.executable, "-m", "thalweg_coordinator"], env=place.environment(), stdout=output, stderr=output)
    try:
        until(lambda: place.command("status").returncode == 0)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("signals")
    with EmbeddedStack(folder) as stack:
        found = Place(stack, folder, free_ports(1)[0])
        with _coordinator(found):
            yield found


@pytest.fixture(autouse=True)
def _nothing_goes_on(place: Place) -> Iterator[None]:
    yield
    place.discard()


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives once it is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def test_what_is_logged_and_printed_can_be_read_anywhere_without_secrets(place: Place, tmp_path: Path) -> None:
    assert place.command("secret", "set", "door", given=PLANTED).returncode == 0
    killed = str(tmp_path / "killed")
    place.deploy("talks", params={"killed": killed}, secrets={"token": "door"})
    until(lambda: place.has_said("talks", 210))
    # Another machine has neither the data folder nor its files.
    found = [
        json.loads(line)
        for line in place.command("logs", "talks", "talk", "--since", "1h", "--json", THALWEG_DATA=str(tmp_path)).stdout.splitlines()
    ]
    assert found and "lanted" not in json.dumps(found)
    by_message = {one["message"]: one for one in found}
    printed = by_message["my token is ***"]
    assert (printed["level"], printed["logger"], printed["vertex"], printed["generation"]) == ("info", "stdout", "talk", 1)
    logged = by_message["token ***"]
    assert (logged["level"], logged["logger"], logged["fields"]) == ("warning", "thalweg.vertex.talk", {"token": "***"})
    assert logged["event_time_ns"] == 0 and logged["record_id"] == printed["record_id"]
    assert by_message["caught"]["exception"].endswith("KeyError: '***'")
    dropped = [one for one in found if one.get("dropped")]
    assert {one["level"] for one in dropped} == {"warning"}
    # Every line is there, or in what is said of those that are not; other lines may have been dropped with them.
    assert 3000 <= sum(one["dropped"] for one in dropped) + sum(one["message"].startswith("flood") for one in found) < 3100
    (died,) = (one for one in found if one["logger"] == "thalweg.coordinator")
    assert died["message"].startswith("killed by SIGKILL") and died["exception"].endswith("as a C library says it")
    assert [one["time_ns"] for one in found if one["logger"] == "stdout"] == sorted(
        one["time_ns"] for one in found if one["logger"] == "stdout"
    )
    assert (printed["epoch"], found[-1]["epoch"]) == (1, 2)


def test_logs_are_chosen_by_vertex_level_number_and_time(place: Place) -> None:
    place.deploy("chosen")
    until(lambda: place.has_said("chosen", 40))
    until(lambda: place.read("chosen", "listen"))
    assert [one.message for one in place.read("chosen", "listen")] == ["thirty"]
    assert {one.vertex for one in place.read("chosen")} == {"talk", "listen"}
    assert [one.message for one in place.read("chosen", level="error")] == ["caught"]
    assert [one.message for one in place.read("chosen", level="error", last=1)] == ["caught"]
    assert place.read("chosen", last=0) == [] == place.read("chosen", since=datetime(2999, 1, 1, tzinfo=UTC))
    assert len(place.read("chosen", last=7)) == 7 < len(place.read("chosen", since=datetime(1000, 1, 1, tzinfo=UTC)))
    everything = place.read("chosen")
    middle = datetime.fromtimestamp(everything[200].time_ns / 1e9, UTC)
    assert 0 < len(place.read("chosen", since=middle)) <= len(place.read("chosen")) - 150
    for words, code in {("nobody",): "deployment.unknown", ("chosen", "nobody"): "vertex.unknown"}.items():
        with pytest.raises(RejectedError) as refused:
            place.read(*words)
        assert refused.value.code == code
    done = place.command("logs", "nobody")
    assert done.returncode == 3 and "there is no deployment nobody" in done.stderr and "hint" in done.stderr
    place.discard()
    shown = place.command("logs", "chosen", "--level", "error").stdout.splitlines()
    assert shown[0].endswith("Z talk error author: caught") and shown[-1] == "    KeyError: 5"


def test_following_goes_on_over_a_redeploy_and_a_restart_of_the_server(place: Place, tmp_path: Path) -> None:
    place.deploy("followed")
    command = [sys.executable, "-m", "thalweg_cli", "logs", "followed", "talk", "-f", "-n", "1", "--json"]
    with (tmp_path / "said").open("wb") as said:
        following = subprocess.Popen(command, env=place.environment(), cwd=tmp_path, stdout=said, stderr=subprocess.STDOUT)

    def seen() -> list[dict[str, Any]]:
        return [json.loads(line) for line in (tmp_path / "said").read_text().splitlines(keepends=True) if line.endswith("\n")]

    def has(word: str, behind: int) -> bool:
        return any(
            one["message"].startswith(word) and int(one["message"].split()[-1]) > behind for one in seen() if one["logger"] == "stdout"
        )

    try:
        until(lambda: has("said", 100))
        server = place.stack.processes[0]
        pid = server.pid
        assert pid is not None
        os.kill(pid, 9)
        server.wait_restarted(pid, 30)
        last = max(int(one["message"].split()[-1]) for one in seen() if one["message"].startswith("said"))
        until(lambda: has("said", last + 50))
        graph = yaml.safe_load((place.folder / "followed.yaml").read_text())
        graph["vertices"]["talk"]["params"] = {"word": "sung"}
        (place.folder / "followed.yaml").write_text(yaml.safe_dump(graph))
        for words in (("apply", "followed.yaml"), ("redeploy", "followed")):
            done = place.command(*words)
            assert done.returncode == 0, done.stderr
        until(lambda: has("sung", last + 100))
        assert {one["generation"] for one in seen() if one["message"].startswith("sung")} == {2}
        assert following.poll() is None
    finally:
        following.kill()
        following.wait()
    numbers = [int(one["message"].split()[-1]) for one in seen() if one["message"].startswith(("said", "sung"))]
    assert len(numbers) == len(set(numbers))


async def test_a_coordinator_gives_the_stream_its_limits_and_the_oldest_records_go_first(place: Place) -> None:
    subject = subjects.log("limited", "d", "v")
    async with open_session(place.settings) as session:
        client = session.client
        with pytest.raises(NoLogStreamError):
            await publish_records(client, subject, "w", [(1, b"first")])
        await ensure_log_stream(client, "limited", 3600, 1 << 20)
        await ensure_log_stream(client, "limited", 60, 2 << 20)  # a vertex, which leaves it as it is
        config = (await call(client, f"STREAM.INFO.{subjects.logs_stream('limited')}", {}))["config"]
        assert (config["max_age"], config["max_bytes"]) == (3600 * 10**9, 1 << 20)
        for number in range(5):
            await publish_records(client, subject, "w", [(number, bytes(300_000))])
            await publish_records(client, subject, "w", [(number, bytes(300_000))])  # as after a reply that was lost
        page = await read_page(client, "limited", subject, 1, 100)
        assert [one.sequence for one in page.lines] == [3, 4, 5]
        await ensure_log_stream(client, "limited", 60, 2 << 20, change=True)
        config = (await call(client, f"STREAM.INFO.{subjects.logs_stream('limited')}", {}))["config"]
        assert (config["max_age"], config["max_bytes"]) == (60 * 10**9, 2 << 20)


def test_top_shows_rates_and_metrics_show_counts(place: Place) -> None:
    place.deploy("measured")

    until(lambda: all(one.records_in > 10 for one in place.rates("measured").values()))
    until(lambda: any(one.vertex == "talk" and one.latency_s is not None for one in place.statuses()[0].vertices))
    found = {one["vertex"]: one for one in place.asked("top", "measured", "--once", "--interval", "2")["vertices"]}
    assert found["talk"]["rates"]["records_out"] > 0 and found["listen"]["rates"]["records_out"] == 0
    assert found["talk"]["rates"]["bytes_out"] > 0 and 0 <= found["talk"]["rates"]["cpu"] < 2
    assert found["talk"]["memory_bytes"] > 10_000_000
    table = place.command("top", "measured", "--once", "--interval", "0.2").stdout
    assert table.startswith("measured: running, revision 1, generation 1, log ") and "in/s" in table and "listen" in table
    counts = place.metrics()
    before = counts["thalweg_vertex_records_in_total measured listen"]
    assert before > 0 and counts["thalweg_vertex_state measured running talk"] == 1 and counts["thalweg_coordinator_leader"] == 1
    assert counts["thalweg_vertex_log_records_dropped_total measured talk"] > 0
    assert counts["thalweg_deployment_log_bytes measured"] > 0 and counts["thalweg_logs_bytes"] > 0
    assert counts["thalweg_api_calls_total ok deployment status"] > 0
    pid = process_of(place.folder / "vertices/measured/talk.json")
    assert pid is not None
    pid.kill()
    until(lambda: place.metrics()["thalweg_vertex_restarts_total measured talk"] == 1)
    until(lambda: place.metrics()["thalweg_vertex_records_in_total measured listen"] > before + 50)
    assert min(one.records_in for one in place.rates("measured").values()) >= 0
    unknown = place.command("top", "nobody", "--once", "--json")
    assert unknown.returncode == 3 and json.loads(unknown.stdout)["error"]["code"] == "deployment.unknown"
    place.discard()
    assert place.asked("top", "measured", "--once") == {"name": "measured", "state": "stopped"}
    until(lambda: "thalweg_deployment_log_bytes measured" not in place.metrics())


def test_the_last_record_of_a_vertex_that_fails_says_why_with_the_traceback(place: Place) -> None:
    vertices = {"numbers": {"component": "paced@1.0.0"}, "fails": {"component": "break@1.0.0"}}
    place.start("broken", {"backend": "broken", "vertices": vertices, "edges": ["numbers.out -> fails.in"]})
    (last,) = until(lambda: [one for one in place.read("broken") if one.level == "error" and one.vertex == "fails"])
    assert "nothing at 5" in last.message and last.exception.endswith("LookupError: nothing at 5") and "in break_down" in last.exception


def test_the_logs_of_a_run_are_on_the_server_it_used(place: Place, tmp_path: Path) -> None:
    """By a coordinator of one deployment, in a workspace of its own."""
    vertices = {
        "numbers": {"component": "csv-source@1.0.0", "files": {"table": str(tmp_path / "t.csv")}},
        "save": {"component": "jsonl-file@1.0.0"},
    }
    (tmp_path / "t.csv").write_text("a\n1\n2\n")
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"backend": "once", "vertices": vertices, "edges": ["numbers.out -> save.in"]}))
    own = {"THALWEG_WORKSPACE": "alone", "THALWEG_DATA": str(tmp_path / "data")}
    done = place.command("run", str(tmp_path / "p.yaml"), "--out", str(tmp_path / "out"), **own)
    assert done.returncode == 0, done.stderr
    (name,) = (path.name for path in (tmp_path / "data/logs").iterdir() if path.is_dir())
    said = place.command("logs", name, "save", **own)
    assert said.returncode == 0 and "save info ended: 2 in, 0 out" in said.stdout
