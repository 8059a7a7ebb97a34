"""Files of the workspace, by the API of a real coordinator and by the command: what is said of them is not believed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from thalweg.api import backends, files, secrets
from thalweg.api.calls import Nothing
from thalweg.artifacts import Store
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import Session, open_session, register
from thalweg.errors import RejectedError
from thalweg.graph.operations import AddVertex, BindFile
from thalweg.graph.pipeline import Vertex
from thalweg.sdk.catalog import Catalog
from thalweg.settings import Settings
from thalweg.wire import subjects
from thalweg_cli.bindings import type_to_register, upload_bindings
from thalweg_coordinator.service import Coordinator

WEATHER = Path(__file__).resolve().parents[2] / "examples/weather"
LEAKS = Path(__file__).parent / "leaks.py"
NOWHERE = "sha256:" + "0" * 64


async def stored(store: Store, folder: Path, name: str, content: str) -> str:
    (folder / name).write_text(content)
    return (await asyncio.to_thread(store.put_file, folder / name)).id


async def bind(session: Session, backend: str, component: str, slot: str, artifact: str, vertex: str = "rows") -> backends.Edited:
    operations = [AddVertex(name=vertex, vertex=Vertex(component=component)), BindFile(vertex=vertex, slot=slot, file=artifact)]
    return await session.ask(backends.EDIT, backends.Edit(backend=backend, author="ada", operations=operations))


async def test_a_registered_file_is_listed_and_shown_with_its_facts(session: Session, store: Store, tmp_path: Path) -> None:
    artifact = await stored(store, tmp_path, "prices.csv", "item,price\na,1.5\n")
    found = await register(session, artifact, "csv", "prices.csv")
    assert (found.type, found.name, found.size_bytes) == ("csv", "prices.csv", 17)
    assert artifact in [one.id for one in (await session.ask(files.LIST, files.ListFiles())).files]
    shown = await session.ask(files.SHOW, files.WhichFile(id=artifact[7:17]))
    assert shown.file == found and shown.facts == {"columns": {"item": "str", "price": "float"}} and shown.uses == []


async def test_pages_of_a_list_are_all_of_it(session: Session, store: Store, tmp_path: Path) -> None:
    for number in range(3):
        await register(session, await stored(store, tmp_path, "page.txt", f"page {number}"), "text", "page.txt")
    whole = [one.id for one in (await session.ask(files.LIST, files.ListFiles())).files]
    paged: list[str] = []
    while True:
        page = await session.ask(files.LIST, files.ListFiles(after=paged[-1] if paged else "", limit=1))
        paged += [one.id for one in page.files]
        if not page.more:
            break
    assert paged == whole


async def test_a_wider_type_does_not_replace_what_is_known(session: Session, store: Store, tmp_path: Path) -> None:
    artifact = await stored(store, tmp_path, "wide.csv", "a,b\n1,2\n")
    assert (await register(session, artifact, "bytes", "wide.bin")).type == "bytes"
    assert (await register(session, artifact, "csv", "wide.csv")).type == "csv"
    assert (await register(session, artifact, "text", "wide.txt")).type == "csv"


async def test_what_is_not_there_or_not_of_its_type_is_not_registered(session: Session, store: Store, tmp_path: Path) -> None:
    with pytest.raises(RejectedError) as absent:
        await register(session, NOWHERE, "csv", "a.csv")
    assert absent.value.code == "artifact.unknown"
    ragged = await stored(store, tmp_path, "ragged.csv", "a,b\n1,2,3\n")
    with pytest.raises(RejectedError, match=r"^ragged\.csv: ") as wrong:
        await register(session, ragged, "csv", "ragged.csv")
    assert wrong.value.code == "file.content_mismatch" and "content" not in str(wrong.value)
    with pytest.raises(RejectedError):
        await register(session, ragged, "video", "ragged.mp4")
    with pytest.raises(RejectedError):
        await session.ask(files.SHOW, files.WhichFile(id=ragged))


async def test_a_bound_file_stays_and_one_that_is_not_goes(session: Session, store: Store, tmp_path: Path) -> None:
    artifact = await stored(store, tmp_path, "bound.csv", "day,rain\n1,2\n")
    await register(session, artifact, "csv", "bound.csv")
    await bind(session, "binds-a-file", "csv-source@1.0.0", "table", artifact)
    with pytest.raises(RejectedError, match=r"backend binds-a-file: rows\.table") as refused:
        await session.ask(files.REMOVE, files.RemoveFile(id=artifact))
    assert refused.value.code == "file.bound" and store.exists(artifact)
    assert (await session.ask(files.SHOW, files.WhichFile(id=artifact))).uses[0].vertex == "rows"
    await session.ask(backends.CHECKOUT, backends.GoTo(backend="binds-a-file", author="ada", revision=0))
    await session.ask(files.REMOVE, files.RemoveFile(id=artifact[:20]))
    assert not store.exists(artifact)
    with pytest.raises(RejectedError):
        await session.ask(files.SHOW, files.WhichFile(id=artifact))
    again = await bind(session, "binds-a-file", "csv-source@1.0.0", "table", artifact, vertex="others")
    assert "there is no artifact" in "".join(again.faults)


async def test_a_table_that_lacks_a_column_makes_its_vertex_invalid(settings: Settings, store: Store, tmp_path: Path) -> None:
    stop = asyncio.Event()
    own = settings.model_copy(update={"components": (LEAKS,), "workspace": "columns"})
    running = asyncio.create_task(Coordinator(own, None).run(stop))
    own_store = Store(own.s3_endpoint, own.s3_bucket, own.s3_access_key, own.s3_secret_key, "columns", own.data / "cache")
    try:
        async with open_session(own) as session:
            assert await wait_for_coordinator(session.client, "columns", 60)
            artifact = await stored(own_store, tmp_path, "items.csv", "item,weight\na,1\n")
            await bind(session, "priced", "prices@1.0.0", "table", artifact)
            (part,) = (await session.ask(backends.SHOW, backends.Which(backend="priced"))).vertices
            assert part.state == "invalid" and "column price (float) is missing" in part.reasons[0]
    finally:
        stop.set()
        await running


async def test_an_id_that_begins_several_is_refused(session: Session, store: Store, tmp_path: Path) -> None:
    bucket = session.client.jetstream()
    kv = await bucket.key_value(subjects.bucket("default", "artifacts"))
    record = {"type": "bytes", "name": "x", "size_bytes": 1, "created": "2026-01-01T00:00:00Z"}
    for last in "ab":
        digits = "feedbeef" + "0" * 55 + last
        await kv.put(digits, json.dumps({"id": f"sha256:{digits}", **record}).encode())
    with pytest.raises(RejectedError) as refused:
        await session.ask(files.SHOW, files.WhichFile(id="feedbeef"))
    assert refused.value.code == "file.ambiguous"
    for last in "ab":
        await session.ask(files.REMOVE, files.RemoveFile(id="feedbeef" + "0" * 55 + last))


async def test_a_file_that_runs_left_is_one_file_with_its_provenance(session: Session, store: Store, tmp_path: Path) -> None:
    artifact = await stored(store, tmp_path, "left.txt", "left by a run")
    kv = await session.client.jetstream().key_value(subjects.bucket("default", "artifacts"))
    provenance = {"deployment": "d", "vertex": "save", "slot": "file", "release": "jsonl-file@1.0.0"}
    record = {"id": artifact, "type": "text", "name": "left.txt", "size_bytes": 13, "created": "2026-01-01T00:00:00Z"}
    for run in "12":
        await kv.put(f"{artifact[7:]}.run{run}", json.dumps({**record, "provenance": provenance}).encode())
    await register(session, artifact, "text", "mine.txt")
    listed = [one for one in (await session.ask(files.LIST, files.ListFiles())).files if one.id == artifact]
    assert [one.name for one in listed] == ["mine.txt"]
    shown = await session.ask(files.SHOW, files.WhichFile(id=artifact))
    assert shown.provenance is not None and shown.provenance["vertex"] == "save"
    await session.ask(files.REMOVE, files.RemoveFile(id=artifact))
    assert artifact not in [one.id for one in (await session.ask(files.LIST, files.ListFiles())).files]


async def test_the_command_puts_gets_and_removes(session: Session, settings: Settings, tmp_path: Path) -> None:
    named = {name: getattr(settings, name) for name in ("nats_url", "s3_endpoint", "s3_access_key", "s3_secret_key", "data")}
    environment = {**os.environ, **{f"THALWEG_{name.upper()}": str(value) for name, value in named.items()}}

    async def thalweg(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "thalweg_cli", "file", *words]
        return await asyncio.to_thread(
            subprocess.run, command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    (tmp_path / "table.csv").write_text("a,b\n7,8\n")
    put = await thalweg("put", "table.csv", "--json")
    assert put.returncode == 0, put.stderr
    found = json.loads(put.stdout)
    assert (found["type"], found["name"]) == ("csv", "table.csv")
    assert found["id"] == "sha256:" + hashlib.sha256(b"a,b\n7,8\n").hexdigest()
    short = found["id"][7:19]
    assert short in (await thalweg("list")).stdout
    assert "not bound" in (await thalweg("show", short)).stdout
    refused = await thalweg("get", short)
    assert refused.returncode == 3 and "is there already" in refused.stderr
    assert (await thalweg("get", short, "--out", "copy.csv")).returncode == 0
    assert (tmp_path / "copy.csv").read_text() == "a,b\n7,8\n"
    (tmp_path / "wrong.csv").write_text("a,b\n1\n")
    wrong = await thalweg("put", "wrong.csv", "--type", "csv")
    assert wrong.returncode == 3 and len([line for line in wrong.stderr.splitlines() if line.startswith("error")]) == 1
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "large.bin").write_bytes(os.urandom(40 << 20))
    large = await thalweg("put", "folder")
    assert large.returncode == 0 and "directory" in large.stdout and "uploading folder: " in large.stderr
    assert (await thalweg("get", large.stdout[7:19], "--out", "back")).returncode == 0
    assert (tmp_path / "back/large.bin").read_bytes() == (tmp_path / "folder/large.bin").read_bytes()
    for one in (short, large.stdout[7:19]):
        assert (await thalweg("remove", one)).returncode == 0
    assert (await thalweg("show", short)).returncode == 3


async def test_apply_registers_what_it_uploads(
    session: Session, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nats_url", "s3_endpoint", "s3_access_key", "s3_secret_key", "data"):
        monkeypatch.setenv(f"THALWEG_{name.upper()}", str(getattr(settings, name)))
    (tmp_path / "lines.txt").write_text("a,b\n3,4\n")
    content = {"vertices": {"rows": {"component": "csv-source@1.0.0", "files": {"table": "lines.txt"}}}}
    bound = await asyncio.to_thread(upload_bindings, content, tmp_path, Catalog())
    shown = await session.ask(files.SHOW, files.WhichFile(id=bound["vertices"]["rows"]["files"]["table"]))
    assert (shown.file.name, shown.file.type) == ("lines.txt", "csv")


def test_a_table_with_faulty_rows_is_registered_as_bytes_because_the_run_decides(tmp_path: Path) -> None:
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    assert type_to_register(tmp_path / "ragged.csv", "csv") == "bytes"
    assert type_to_register(WEATHER / "data/seattle-weather.csv", None) == "csv"
    (tmp_path / "no.csv").write_bytes(b"\xff\xfe\0")
    with pytest.raises(RejectedError):
        type_to_register(tmp_path / "no.csv", "csv")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
HOSTILE = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from([NOWHERE, "sha256:../x", "*", ">", "a" * 65, "0000", "0" * 64 + "\n", ""]) | JSON,
        "type": st.sampled_from(["csv", "nothing", "a.b"]) | JSON,
        "name": st.sampled_from(["../up", "a/b", "a b", "*", "x" * 300, "a\n", "ok"]) | JSON,
        "value": st.sampled_from(["", "abc", "    ", "v" * 70_000]) | JSON,
        "author": st.just("eve") | JSON,
        "limit": st.sampled_from([0, -1, 10**9]) | JSON,
        "surplus": JSON,
    },
)
CALLS = ["file.register", "file.show", "file.remove", "secret.set", "secret.remove"]


@bounded(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200) | HOSTILE.map(msgspec.msgpack.encode), call=st.sampled_from(CALLS))
async def test_requests_that_are_none_get_a_typed_error_and_change_nothing(session: Session, body: bytes, call: str) -> None:
    resource, verb = call.split(".")
    before = await _all(session)
    reply = await session.client.request(subjects.api("default", resource, verb), body, timeout=10)
    answer: dict[str, Any] = msgspec.msgpack.decode(reply.data)
    assert answer["error"]["code"] and answer["error"]["code"] != "internal"
    assert b"v" * 80 not in reply.data
    assert await _all(session) == before


async def _all(session: Session) -> tuple[list[str], list[str]]:
    found, named = await session.ask(files.LIST, files.ListFiles()), await session.ask(secrets.LIST, Nothing())
    return [one.id for one in found.files], [one.name for one in named.secrets]
