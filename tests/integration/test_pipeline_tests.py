"""`thalweg test` as people run it: passing, failing, broken, killed; on given servers and on its own; what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import psutil
import pytest
import yaml

from integration.served import DEADLINE_S, Served, served, until
from thalweg.artifacts import Store
from thalweg.bus import deployments as bus
from thalweg.bus.holds import Hold
from thalweg.bus.streams import call
from thalweg.client import open_session
from thalweg.client.runs import wait_for_log
from thalweg.sdk.catalog import load_release
from thalweg.settings import Settings
from thalweg.testing.checks import GoldenRecords
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec
from thalweg_cli.testing.collecting import Collector
from thalweg_cli.testing.events import events_json_schema

PARTS = Path(__file__).parent / "parts.py"
FILTER = "thalweg_components.processors.filter"
WEATHER = Path(__file__).resolve().parents[2] / "examples/weather/weather.test.yaml"
PIPELINE: dict[str, Any] = {
    "backend": "counting",
    "vertices": {
        "numbers": {"component": "count@1.0.0", "params": {"count": 100}},
        "thirds": {"component": "thirds@1.0.0"},
        "lines": {"component": "jsonl-file@1.0.0"},
    },
    "edges": ["numbers.out -> thirds.in", "thirds.out -> lines.in"],
}
FAILING: list[dict[str, Any]] = [
    {"name": "good", "expect": [{"port": "thirds.out", "count": 34, "every": "value % 3 == 0"}, {"file": "lines.file", "rows": 34}]},
    {
        "name": "bad",
        "expect": [
            {"port": "thirds.out", "count": 34},
            {"port": "thirds.out", "every": "value < 50"},
            {"port": "numbers.out", "golden": "golden.jsonl"},
        ],
    },
]
DIVIDING: dict[str, Any] = {"use": {"thirds": "filter@1.0.0"}, "set": {"thirds.where": "1 / (value - 3) > 0"}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


def write(folder: Path, cases: list[dict[str, Any]], **more: Any) -> Path:
    path = folder / "counting.test.yaml"
    path.write_text(yaml.safe_dump({"pipeline": PIPELINE, "components": [str(PARTS)], "cases": cases, **more}))
    return path


def start(folder: Path, environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "thalweg_cli", "test", *words]
    return subprocess.Popen(command, env=environment, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(run: subprocess.Popen[str], exit_code: int) -> tuple[str, str]:
    out, errors = run.communicate(timeout=DEADLINE_S * 2)
    assert run.returncode == exit_code, (out, errors)
    return out, errors


def alone(folder: Path) -> dict[str, str]:
    """Environment of a command that brings up its own servers."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
    return environment | {"THALWEG_DATA": str(folder / "data")}


def processes(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder / "data") in process.environ().get("THALWEG_DATA", "") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


async def stored_now(settings: Settings) -> dict[str, int]:
    """Messages by subject in all streams, but for those of the lead and of what was logged, which stays; objects in the file store."""
    async with open_session(settings) as session:
        found: dict[str, int] = {}
        for name in (await call(session.client, "STREAM.NAMES", {}))["streams"]:
            if not name.endswith(("_lead", "_log")):
                info = await call(session.client, f"STREAM.INFO.{name}", {"subjects_filter": ">"})
                found |= {f"stream {name}": 0, **(info["state"].get("subjects") or {})}
    pages = Store.of(settings)._s3.get_paginator("list_objects_v2").paginate(Bucket=settings.s3_bucket)
    return found | {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", [])}


def test_the_example_passes_on_servers_of_its_own_and_leaves_no_process(tmp_path: Path) -> None:
    out, _ = ended(start(tmp_path, alone(tmp_path), str(WEATHER), "--junit", "reports/weather.xml"), 0)
    cases = yaml.safe_load(WEATHER.read_text())["cases"]
    lines = out.splitlines()
    assert [line.partition("  ")[0] for line in lines[:-1]] == [f"✓ {one['name']}" for one in cases]
    assert f"{len(cases)} passed" in lines[-1]
    (suite,) = ElementTree.parse(tmp_path / "reports/weather.xml").getroot()
    assert {one.get("classname") for one in suite} == {one["name"] for one in cases}
    assert suite.get("failures") == suite.get("errors") == "0"
    assert not processes(tmp_path)
    assert not list((tmp_path / "data" / "runs").iterdir())


async def test_a_failing_test_says_what_is_not_as_expected_and_leaves_nothing_behind(place: Served, tmp_path: Path) -> None:
    (tmp_path / "golden.jsonl").write_text("".join(f"{n if n != 70 else 71}\n" for n in range(100)))
    manifest = write(tmp_path, [*FAILING, {"name": "broken", "set": {"numbers.count": 4}, "expect": [{"fails": {}}]}])
    await asyncio.to_thread(lambda: ended(start(tmp_path, place.environment, str(manifest), "--case", "good"), 0))
    before = await stored_now(place.settings)
    out, _ = await asyncio.to_thread(lambda: ended(start(tmp_path, place.environment, str(manifest), "--json"), 5))
    events = [json.loads(line) for line in out.splitlines()]
    validator = jsonschema.Draft202012Validator(events_json_schema())
    assert [list(validator.iter_errors(one)) for one in events if not validator.is_valid(one)] == []
    finished = [(one["case"], one["outcome"]) for one in events if one["event"] == "case.finished"]
    assert finished == [("good", "passed"), ("bad", "failed"), ("broken", "failed")]
    unmet = {one["key"]: one for one in events if one["event"] == "expectation" and not one["met"]}
    assert {key: one["reason"] for key, one in unmet.items()} == {
        "expect.1.every": "is not true for record 17",
        "expect.2.golden": "record 70: value is 70, expected 71",
        "expect.0.fails": "the run did not fail",
    }
    assert unmet["expect.2.golden"]["record"] == {"index": 70, "value": "70", "path": "", "got": "70", "expected": "71"}
    assert {one["vertex"] for one in events if one["event"] == "vertex.progress" and one["state"] == "ended"} == {*PIPELINE["vertices"]}
    counts = {"passed": 1, "failed": 2, "errors": 0, "exit_code": 5}
    assert events[-1] == {"event": "finished", "manifest": str(manifest), **counts, "seconds": events[-1]["seconds"]}
    assert await stored_now(place.settings) == before


async def test_a_run_that_fails_or_takes_too_long_is_an_error_and_the_others_are_run(place: Served, tmp_path: Path) -> None:
    cases: list[dict[str, Any]] = [
        {"name": "slow", "set": {"numbers.count": 10**9, "numbers.pause_s": 0.001}, "timeout": "3s", "expect": FAILING[0]["expect"]},
        {"name": "good", "expect": FAILING[0]["expect"]},
        {"name": "as it must", **DIVIDING, "expect": [{"fails": {"vertex": "thirds", "code": "component.raised", "message": "zero"}}]},
        {"name": "fails", **DIVIDING, "expect": [{"port": "thirds.out", "count": 34}]},
    ]
    manifest = write(tmp_path, cases)
    out, _ = await asyncio.to_thread(lambda: ended(start(tmp_path, place.environment, str(manifest), "--json", "--junit", "j.xml"), 4))
    finished = [one for one in map(json.loads, out.splitlines()) if one["event"] == "case.finished"]
    assert [(one["outcome"], one.get("code")) for one in finished] == [
        ("error", "test.timeout"),
        ("passed", None),
        ("passed", None),
        ("error", "component.raised"),
    ], finished
    assert "numbers, thirds, lines did not come to an end" in finished[0]["message"]
    (suite,) = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert [one.get("classname") for one in suite if one.find("error") is not None] == ["slow", "fails"]


def test_what_is_wrong_with_a_manifest_is_told_before_anything_runs(tmp_path: Path) -> None:
    cases: list[dict[str, Any]] = [
        {"name": "a", "set": {"thirds.nothing": 1}, "expect": [{"port": "thirds.out", "count": 1}]},
        {"name": "b", "files": {"numbers.rows": "x"}, "expect": [{"port": "thirds.out", "every": "valeu > 1"}]},
        {"name": "c", "expect": [{"port": "third.out", "every": "value > 1"}, {"port": "thirds.out", "every": "valeu > 1"}]},
    ]
    manifest = write(tmp_path, cases)
    _, errors = ended(start(tmp_path, alone(tmp_path), str(manifest)), 3)
    told = [line.removeprefix(f"error: {manifest}: ") for line in errors.splitlines() if not line.startswith("  hint")]
    assert [line.partition(": ")[0] for line in told] == ["cases.0", "cases.1", "cases.2.expect.0.port", "cases.2.expect.1.every"]
    assert not (tmp_path / "data").exists()


def test_servers_that_do_not_answer_are_told(tmp_path: Path) -> None:
    environment = alone(tmp_path) | {"THALWEG_NATS_URL": "nats://127.0.0.1:9"}
    assert "error: " in ended(start(tmp_path, environment, str(write(tmp_path, FAILING[:1]))), 6)[1]


async def test_a_killed_test_is_rolled_back_when_its_lease_expires(place: Served, tmp_path: Path) -> None:
    manifest = write(tmp_path, FAILING[:1])
    await asyncio.to_thread(lambda: ended(start(tmp_path, place.environment, str(manifest)), 0))
    before = await stored_now(place.settings)
    endless = [{"name": "endless", "set": {"numbers.count": 10**9}, "expect": FAILING[0]["expect"]}]
    environment = place.environment | {"THALWEG_LEASE_TTL_S": "3"}
    run = start(tmp_path, environment, str(write(tmp_path, endless)), "--json")
    assert run.stdout is not None
    first = json.loads(await asyncio.to_thread(run.stdout.readline))

    async def is_running() -> bool:
        return any(first["deployment"] in subject and ".v." in subject for subject in await stored_now(place.settings))

    async def is_gone() -> bool:
        found = await stored_now(place.settings)
        return {name for name in found if "_leases" not in name} == {name for name in before if "_leases" not in name}

    await until(is_running)
    run.send_signal(signal.SIGKILL)
    await asyncio.to_thread(run.communicate)
    await until(is_gone)


def test_an_interrupted_test_ends_all_that_it_started(tmp_path: Path) -> None:
    endless = [{"name": "endless", "set": {"numbers.count": 10**9}, "expect": [{"port": "thirds.out", "count": 1}]}]
    run = start(tmp_path, alone(tmp_path), str(write(tmp_path, endless)), "--json")
    assert run.stdout is not None
    run.stdout.readline()
    run.send_signal(signal.SIGINT)
    ended(run, 130)
    assert not processes(tmp_path)
    assert not list((tmp_path / "data" / "runs").iterdir())


async def test_a_kept_lease_has_the_deployments_with_their_whole_logs(place: Served, tmp_path: Path) -> None:
    manifest = write(tmp_path, [{**FAILING[0], "set": {"numbers.count": 50_000}, "expect": [{"port": "numbers.out", "count": 50_000}]}])
    before = await stored_now(place.settings)
    out, _ = await asyncio.to_thread(lambda: ended(start(tmp_path, place.environment, str(manifest), "--keep-lease", "--json"), 0))
    (left,) = [one for one in map(json.loads, out.splitlines()) if one["event"] == "lease.left"]
    name = f"{left['lease']}-1"
    tapped = await asyncio.to_thread(place.command, "tap", name, "numbers.out", "--from", "0", "--json")
    assert [json.loads(line)["value"] for line in tapped.stdout.splitlines()] == list(range(50_000))
    assert f"deployment:{name}" in (await asyncio.to_thread(place.command, "lease", "show", left["lease"])).stdout
    rolled = await asyncio.to_thread(place.command, "lease", "rollback", left["lease"])
    assert rolled.returncode == 0, rolled.stderr
    after = {key: value for key, value in (await stored_now(place.settings)).items() if "_leases" not in key}
    assert after == {key: value for key, value in before.items() if "_leases" not in key}


async def test_an_update_writes_goldens_that_the_next_test_meets(place: Served, tmp_path: Path) -> None:
    expect = [{"port": "thirds.out", "golden": "golden/thirds.jsonl"}, {"file": "lines.file", "golden": "golden/lines.jsonl"}]
    manifest = write(tmp_path, [{"name": "golden", "expect": expect}])

    def run(code: int, *words: str) -> str:
        return "".join(ended(start(tmp_path, place.environment, str(manifest), *words), code))

    assert "golden/thirds.jsonl is not there" in await asyncio.to_thread(run, 3)
    assert "written: thirds.jsonl" in await asyncio.to_thread(run, 0, "--update")
    assert (tmp_path / "golden" / "thirds.jsonl").read_text() == "".join(f"{n}\n" for n in range(0, 100, 3))
    assert sorted(one.name for one in (tmp_path / "golden").iterdir()) == ["lines.jsonl", "thirds.jsonl"]
    assert "1 passed" in await asyncio.to_thread(run, 0)


async def test_a_test_of_a_stored_backend_tries_a_release_of_the_working_directory(place: Served, tmp_path: Path) -> None:
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text(yaml.safe_dump({"backend": "stored-for-test", "vertices": {"rows": {"component": "csv-source@1.0.0"}}}))
    applied = await asyncio.to_thread(place.command, "apply", str(pipeline))
    assert applied.returncode == 0, applied.stderr
    (tmp_path / "rows.csv").write_text("n\n1\n2\n")
    (tmp_path / "tried.py").write_text(
        "from collections.abc import Iterator\nimport thalweg\n\n"
        '@thalweg.component("csv-source", version="1.0.1")\n'
        "def rows(table: thalweg.InputFile) -> Iterator[str]:\n"
        '    """Lines."""\n'
        "    yield from table.path.read_text().splitlines()\n"
    )
    manifest = tmp_path / "m.yaml"
    case = {"name": "a", "files": {"rows.table": "rows.csv"}, "expect": [{"port": "rows.out", "count": 3, "last": 'value == "2"'}]}
    content = {"backend": "stored-for-test", "components": ["tried.py"], "use": {"csv-source": "csv-source@1.0.1"}, "cases": [case]}
    manifest.write_text(yaml.safe_dump(content))
    await asyncio.to_thread(lambda: ended(start(tmp_path, place.environment, str(manifest)), 0))


async def test_values_are_pushed_into_input_endpoints_which_end_behind_them(place: Served, tmp_path: Path) -> None:
    (tmp_path / "values.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(1_500)))
    content = {
        "pipeline": {
            "backend": "pushed",
            "vertices": {
                "door": {"component": "http-in@1.0.0", "params": {"type": "record{n: int, at: timestamp?}"}},
                "big": {"component": "filter@1.0.0", "params": {"where": "n > 1"}},
                "show": {"component": "http-out@1.0.0"},
            },
            "edges": ["door.out -> big.in", "big.out -> show.in"],
        },
        "cases": [
            {"name": "file", "push": {"door.in": "values.jsonl"}, "expect": [{"port": "big.out", "count": 1_498, "last": "n == 1499"}]},
            {"name": "none", "expect": [{"port": "door.out", "count": 0}, {"vertex": "show", "records_in": 0}]},
        ],
    }
    manifest = tmp_path / "m.yaml"
    manifest.write_text(yaml.safe_dump(content))
    await asyncio.to_thread(lambda: ended(start(tmp_path, place.environment, str(manifest)), 0))
    content["cases"] = [{"name": "bad", "push": {"door.in": [{"n": "one"}], "big.in": []}, "expect": [{"port": "show.out", "count": 0}]}]
    manifest.write_text(yaml.safe_dump(content, sort_keys=False))
    _, errors = await asyncio.to_thread(lambda: ended(start(tmp_path, place.environment, str(manifest)), 3))
    told = [line.removeprefix(f"error: {manifest}: cases.0.") for line in errors.splitlines() if not line.startswith("  hint")]
    assert told == [
        "expect.0.port: show.out is an output endpoint",
        "push.door.in.0: Expected `int`, got `str` - at `$.n`",
        "push.big.in: needs an input endpoint, and this is none",
    ]


def digest(component: str, code: str) -> str:
    return load_release(component, code).manifest.digest


async def test_a_silent_port_that_is_read_holds_nobody_up(place: Served) -> None:
    """The log holds eight messages of a subject, and the source writes many more before anything comes on the port that is read."""
    numbers = VertexSpec(
        "numbers", "count@1.0.0", digest("count@1.0.0", str(PARTS)), str(PARTS), "source", {"count": 40}, outputs={"out": "int"}
    )
    none = VertexSpec(
        "none", "filter@1.0.0", digest("filter@1.0.0", FILTER), FILTER, "processor", {"where": "value == 39"},
        [EdgeSpec("numbers", "out", "in", "int")], {"out": "int"},
    )  # fmt: skip
    async with open_session(place.settings) as session:
        workspace = session.workspace
        spec = DeploymentSpec(workspace, "silent", "b", [numbers, none], max_messages_per_subject=8, batch_records=1)
        check = GoldenRecords(iter([39]))
        async with Hold(session.client, workspace, spec.name, "test", 1) as hold:
            await bus.store_deployment(session.client, spec)
            collector = Collector(session.client, spec, {("none", "out"): [check]}, hold)
            async with asyncio.timeout(DEADLINE_S):
                await wait_for_log(session.client, spec)
                await collector.read(lambda: {("none", "out"): 1})
        assert check.verdict().is_met
        await bus.delete_deployment(session.client, workspace, spec.name)
