"""Leases against real servers: what they own is theirs alone, goes with them or is kept, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from thalweg.api import backends, deployments, evidence, files, leases, secrets
from thalweg.api.calls import Call, Nothing
from thalweg.artifacts import Store
from thalweg.bus import streams
from thalweg.bus.connection import connect
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import Session, open_session, register
from thalweg.embedded import EmbeddedStack
from thalweg.errors import RejectedError
from thalweg.graph.operations import SetParam
from thalweg.settings import Settings
from thalweg.wire import subjects

PARTS = Path(__file__).parent / "deployed.py"
DEADLINE_S = 60.0
COUNTS = {"vertices": {"numbers": {"component": "numbers@1.0.0", "params": {"count": 100_000_000, "pause_s": 0.001}}}}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """Servers that are looked into whole."""
    with EmbeddedStack(tmp_path_factory.mktemp("leased")) as running:
        yield running


@pytest.fixture(scope="module")
def settings(stack: EmbeddedStack) -> Settings:
    """Of a coordinator that is a process of its own, as its vertices are."""
    return settings_of(stack)


def settings_of(stack: EmbeddedStack) -> Settings:
    found = Settings(
        nats_url=stack.nats_url,
        s3_endpoint=stack.s3_endpoint,
        s3_access_key=stack.s3_access_key,
        s3_secret_key=stack.s3_secret_key,
        data=stack.data_dir,
    )
    Store.of(found).ensure_bucket()
    return found


@contextmanager
def coordinator(stack: EmbeddedStack) -> Iterator[None]:
    environment = {**os.environ, **stack.environment(), "THALWEG_DATA": str(stack.data_dir), "THALWEG_COMPONENTS": str(PARTS)}
    process = subprocess.Popen([sys.executable, "-m", "thalweg_coordinator"], env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def coordinated(stack: EmbeddedStack) -> Iterator[None]:
    with coordinator(stack):
        yield


@pytest.fixture
async def session(coordinated: None, settings: Settings) -> AsyncIterator[Session]:
    async with open_session(settings) as found:
        assert await wait_for_coordinator(found.client, settings.workspace, 60)
        yield found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not await condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.05)


async def opened(session: Session, ttl_s: float = 600.0) -> str:
    return (await session.ask(leases.OPEN, leases.Open(author="ada", note="a trial", ttl_s=ttl_s))).id


async def applied(session: Session, name: str, lease: str | None, document: dict[str, Any] = COUNTS) -> backends.Edited:
    return await session.ask(
        backends.APPLY, backends.Apply(backend=name, author="ada", document={"backend": name, **document}, lease=lease)
    )


async def put(session: Session, settings: Settings, folder: Path, text: str, lease: str) -> str:
    path = folder / "words.txt"
    path.write_text(text)
    store = Store.of(settings, lease)
    store.ensure_bucket()
    artifact = store.put_file(path)
    return (await register(session, artifact.id, "bytes", path.name, lease)).id


async def ended(session: Session, lease: str) -> leases.Lease:
    async def has_ended() -> bool:
        return (await session.ask(leases.SHOW, leases.Which(id=lease))).lease.ended_ns is not None

    await until(has_ended)
    return (await session.ask(leases.SHOW, leases.Which(id=lease))).lease


async def stored_now(settings: Settings) -> dict[str, int]:
    """Messages by subject in the workspace's streams, but for the lead, leases and log records; objects in the file store."""
    assert settings.nats_url is not None
    client = await connect(settings.nats_url, "test")
    try:
        found: dict[str, int] = {}
        for name in (await streams.call(client, "STREAM.NAMES", {}))["streams"]:
            if f"TW_{settings.workspace}_" in name and not name.endswith(("_lead", "_leases", "_log")):
                info = await streams.call(client, f"STREAM.INFO.{name}", {"subjects_filter": ">"})
                found |= info["state"].get("subjects") or {}
        pages = Store.of(settings)._s3.get_paginator("list_objects_v2").paginate(Bucket=settings.s3_bucket, Prefix=settings.workspace + "/")
        return found | {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", [])}
    finally:
        await client.close()


async def make_all(session: Session, settings: Settings, folder: Path, lease: str, name: str) -> str:
    """A backend, a deployment of it that runs, a secret, a file, evidence of a run that has ended; the file's id."""
    artifact = await put(session, settings, folder, f"of {lease}", lease)
    await session.ask(secrets.SET, secrets.SetSecret(name=f"{name}-key", value="a value", author="ada", lease=lease))
    await applied(session, name, lease)
    await applied(session, f"{name}-short", lease, {"vertices": {"numbers": {"component": "numbers@1.0.0", "params": {"count": 3}}}})
    for one in (name, f"{name}-short"):
        await session.ask(deployments.DEPLOY, deployments.Deploy(backend=one, lease=lease))
    await session.ask(deployments.UNDEPLOY, deployments.Undeploy(name=f"{name}-short", lease=lease))

    async def runs() -> bool:
        found = (await session.ask(deployments.STATUS, deployments.MaybeNamed(name=name))).deployments[0]
        short = (await session.ask(deployments.STATUS, deployments.MaybeNamed(name=f"{name}-short"))).deployments[0]
        return bool(found.vertices and found.vertices[0].records_out and short.report is not None)

    await until(runs)
    return artifact


async def test_what_is_rolled_back_leaves_nothing(session: Session, settings: Settings, tmp_path: Path) -> None:
    before = await stored_now(settings)
    lease = await opened(session)
    await make_all(session, settings, tmp_path, lease, "trial")
    shown = await session.ask(leases.SHOW, leases.Which(id=lease))
    kinds = [one.kind for one in shown.things]
    assert list(dict.fromkeys(kinds)) == ["deployment", "backend", "secret", "file", "report", "evidence"]
    await session.ask(leases.ROLLBACK, leases.End(id=lease, reason="seen enough"))
    found = await ended(session, lease)
    assert (found.state, found.reason) == ("rolled back", "seen enough")
    assert [one.thing.kind for one in found.done if one.action == "removed"][: len(kinds)] == kinds
    assert await stored_now(settings) == before
    with pytest.raises(RejectedError) as caught:
        await session.ask(deployments.STATUS, deployments.MaybeNamed(name="trial"))
    assert caught.value.code == "deployment.unknown"


async def test_what_is_committed_is_the_workspaces(session: Session, settings: Settings, tmp_path: Path) -> None:
    lease = await opened(session)
    artifact = await make_all(session, settings, tmp_path, lease, "kept")
    await session.ask(leases.COMMIT, leases.End(id=lease))
    assert (await ended(session, lease)).state == "committed"
    assert Store.of(settings).exists(artifact)
    assert (await session.ask(files.SHOW, files.WhichFile(id=artifact))).file.owner == "workspace"
    assert (await session.ask(deployments.STATUS, deployments.MaybeNamed(name="kept"))).deployments[0].lease == ""
    assert "kept-short" in [one.deployment for one in (await session.ask(evidence.LIST, Nothing())).evidence]
    assert [one.lease for one in (await session.ask(backends.LIST, Nothing())).backends if one.backend == "kept"] == [""]
    await session.ask(deployments.UNDEPLOY, deployments.Undeploy(name="kept", discard=True))
    await session.ask(files.REMOVE, files.RemoveFile(id=artifact))
    await session.ask(secrets.REMOVE, secrets.WhichSecret(name="kept-key"))


async def test_two_leases_and_the_workspace_do_not_touch_each_others_things(session: Session, settings: Settings, tmp_path: Path) -> None:
    mine, theirs = await opened(session), await opened(session)
    artifact = await make_all(session, settings, tmp_path, mine, "mine")
    edit = SetParam(vertex="numbers", path=["count"], value=1)
    for lease in (theirs, None):
        owner: dict[str, Any] = {"author": "bob", "lease": lease}
        for asking, request in (
            (backends.EDIT, backends.Edit(backend="mine", operations=[edit], **owner)),
            (backends.UNDO, backends.GoTo(backend="mine", revision=1, **owner)),
            (backends.CHECKOUT, backends.GoTo(backend="mine", revision=1, **owner)),
            (deployments.DEPLOY, deployments.Deploy(backend="mine", name="other", lease=lease)),
            (deployments.REDEPLOY, deployments.Redeploy(name="mine", lease=lease)),
            (deployments.UNDEPLOY, deployments.Undeploy(name="mine", discard=True, lease=lease)),
            (secrets.SET, secrets.SetSecret(name="mine-key", value="other", **owner)),
            (secrets.REMOVE, secrets.WhichSecret(name="mine-key", lease=lease)),
            (files.REMOVE, files.RemoveFile(id=artifact, lease=lease)),
        ):
            with pytest.raises(RejectedError) as caught:
                await session.ask(cast("Any", asking), cast("Any", request))
            assert caught.value.code == "lease.foreign", request
        bound = {"vertices": {"rows": {"component": "jsonl-source@1.0.0", "files": {"lines": artifact}}}}
        faults = (await applied(session, f"binds-{lease or 'workspace'}", lease, bound)).faults
        assert any(artifact[:12] in fault or "words.txt" in fault for fault in faults), faults
    with pytest.raises(RejectedError) as caught:
        await session.ask(leases.PROMOTE, leases.Promote(id=theirs, things=["backend:mine"]))
    assert caught.value.code == "lease.foreign"
    for lease in (mine, theirs):
        await session.ask(leases.ROLLBACK, leases.End(id=lease))
        await ended(session, lease)
    with pytest.raises(RejectedError) as caught:
        await applied(session, "late", mine)
    assert caught.value.code == "lease.ended"


async def test_the_same_file_of_two_leases_is_in_each(session: Session, settings: Settings, tmp_path: Path) -> None:
    one, other = await opened(session), await opened(session)
    artifact = await put(session, settings, tmp_path, "the same", one)
    assert await put(session, settings, tmp_path, "the same", other) == artifact
    await session.ask(leases.ROLLBACK, leases.End(id=one))
    await ended(session, one)
    assert Store.of(settings, other).exists(artifact)
    await session.ask(leases.PROMOTE, leases.Promote(id=other, things=[f"file:{artifact}"]))
    await session.ask(leases.ROLLBACK, leases.End(id=other))
    assert [one.action for one in (await ended(session, other)).done] == ["promoted"]
    assert Store.of(settings).exists(artifact)


async def test_a_promoted_deployment_takes_along_what_it_needs(session: Session, settings: Settings, tmp_path: Path) -> None:
    lease = await opened(session)
    path = tmp_path / "rows.jsonl"
    path.write_text('{"n": 1}\n{"n": 2}\n')
    rows = Store.of(settings, lease).put_file(path).id
    await register(session, rows, "jsonl", path.name, lease)
    document = {
        "vertices": {"rows": {"component": "jsonl-source@1.0.0", "files": {"lines": rows}}, "save": {"component": "jsonl-file@1.0.0"}},
        "edges": ["rows.out -> save.in"],
    }
    edited = await applied(session, "moved", lease, document)
    assert edited.deployable, edited.faults
    await session.ask(deployments.DEPLOY, deployments.Deploy(backend="moved", lease=lease))
    promoted = await session.ask(leases.PROMOTE, leases.Promote(id=lease, things=["deployment:moved"]))
    assert {str(one) for one in promoted.things} >= {"deployment:moved", "backend:moved", f"file:{rows}"}
    await session.ask(leases.ROLLBACK, leases.End(id=lease))
    await ended(session, lease)
    begun = await session.ask(deployments.UNDEPLOY, deployments.Undeploy(name="moved"))

    async def is_torn_down() -> bool:
        report = (await session.ask(deployments.REPORT, deployments.Named(name="moved"))).report
        return report is not None and report.deployed_ns == begun.deployed_ns

    await until(is_torn_down)
    report = (await session.ask(deployments.REPORT, deployments.Named(name="moved"))).report
    assert report is not None and report.outcome == "finished"
    assert Store.of(settings).exists(report.generated[0].artifact)


async def test_an_expired_lease_is_rolled_back_by_a_coordinator_that_starts_later(tmp_path: Path) -> None:
    async with AsyncExitStack() as exits:
        stack = exits.enter_context(EmbeddedStack(tmp_path / "own"))
        settings = settings_of(stack)
        session = await exits.enter_async_context(open_session(settings))
        with coordinator(stack):
            assert await wait_for_coordinator(session.client, settings.workspace, 60)
            before = await stored_now(settings)
            lease = await opened(session)
            await make_all(session, settings, tmp_path, lease, "expired")
            await session.ask(leases.RENEW, leases.Renew(id=lease, ttl_s=1.0))
        with coordinator(stack):
            assert await wait_for_coordinator(session.client, settings.workspace, 60)
            found = await ended(session, lease)
            assert (found.state, found.reason) == ("rolled back", "not renewed for 1 s")
            assert await stored_now(settings) == before


@pytest.mark.parametrize(
    "things", [[], ["backend"], ["planet:mars"], ["backend:a.b"], ["file:" + "a" * 90], ["backend:*"], ["secret:x"] * 1001], ids=str
)
async def test_what_names_no_thing_is_refused(session: Session, things: list[str]) -> None:
    lease = await opened(session)
    body = {"id": lease, "things": things}
    with pytest.raises((RejectedError, ValueError)):
        await session.ask(leases.PROMOTE, leases.Promote.model_validate(body))
    await session.ask(leases.ROLLBACK, leases.End(id=lease))


RUN = """
backend: killed
vertices:
  numbers: {{component: numbers@1.0.0, params: {{count: {count}, pause_s: 0.001}}}}
  save: {{component: jsonl-file@1.0.0}}
edges: [numbers.out -> save.in]
"""


def started(stack: EmbeddedStack, folder: Path, count: int, *options: str) -> subprocess.Popen[str]:
    """`thalweg run` with a lease of a second, in a data folder of its own."""
    variables = {"THALWEG_DATA": str(folder / "data"), "THALWEG_COMPONENTS": str(PARTS), "THALWEG_LEASE_TTL_S": "1"}
    pipeline = folder / f"{count}.yaml"
    pipeline.write_text(RUN.format(count=count))
    words = [sys.executable, "-m", "thalweg_cli", "run", str(pipeline), "--json", *options]
    environment = {**os.environ, **stack.environment(), **variables}
    return subprocess.Popen(words, env=environment, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


async def test_a_killed_run_is_cleaned_up_when_its_lease_expires(
    session: Session, stack: EmbeddedStack, settings: Settings, tmp_path: Path
) -> None:
    before = await stored_now(settings)
    run = started(stack, tmp_path, 10_000_000)

    async def runs() -> bool:
        found = (await session.ask(deployments.STATUS, deployments.MaybeNamed())).deployments
        return any(one.backend == "killed" and one.state == "running" and one.vertices[1].records_in for one in found)

    await until(runs)
    run.kill()
    run.communicate()

    async def is_clean() -> bool:
        return (await stored_now(settings)).keys() <= before.keys()  # what earlier tests had left may go meanwhile

    await until(is_clean)


async def test_after_a_run_nothing_is_left_but_what_was_promoted(
    session: Session, stack: EmbeddedStack, settings: Settings, tmp_path: Path
) -> None:
    before = await stored_now(settings)
    run = started(stack, tmp_path, 50)
    said, errors = await asyncio.to_thread(run.communicate, timeout=DEADLINE_S)
    assert run.returncode == 0, errors
    (generated,) = json.loads(said)["generated"]
    new = (await stored_now(settings)).keys() - before.keys()
    digits = generated["artifact"].removeprefix("sha256:")
    assert {one.split(".")[0] for one in new if digits in one} == {"$KV", f"{settings.workspace}/artifacts/{digits}"}
    # Besides: the evidence, the replay and the log records, as records and as files of the store.
    assert len(new) == 8, new
    assert not [
        one for one in (await session.ask(leases.LIST, Nothing())).leases if one.state == "committed" and one.note.endswith("killed")
    ]
    found = await session.ask(files.SHOW, files.WhichFile(id=digits))
    assert found.file.owner == "workspace" and found.provenance is not None and found.provenance["vertex"] == "save"


LEAF = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20) | st.binary(max_size=20)
BAD_ID = st.sampled_from(["a.b", "a b", "*", ">", "", "x" * 64, "../x", "a\n", "none"]) | LEAF
HOSTILE = st.fixed_dictionaries({"id": BAD_ID}, optional={"ttl_s": LEAF, "things": LEAF, "surplus": LEAF})
CALLS = [leases.SHOW, leases.RENEW, leases.PROMOTE, leases.COMMIT, leases.ROLLBACK]


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200) | HOSTILE.map(msgspec.msgpack.encode), call=st.sampled_from(CALLS))
async def test_requests_that_are_none_get_a_typed_error_and_change_nothing(session: Session, body: bytes, call: Call[Any, Any]) -> None:
    before = await session.ask(leases.LIST, Nothing())
    reply = await session.client.request(subjects.api("default", call.resource, call.verb), body, timeout=10)
    answer: dict[str, Any] = msgspec.msgpack.decode(reply.data)
    assert answer["error"]["code"] and answer["error"]["code"] != "internal"
    assert await session.ask(leases.LIST, Nothing()) == before
