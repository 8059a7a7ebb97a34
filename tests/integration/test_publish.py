"""Publishing releases, by the API of a real coordinator: immutable, pinned, checked by their own code."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as fuzz
from hypothesis import strategies as st

from integration.releasing import CODE, pinning, publish, upload, write
from thalweg.api import backends as backends_api
from thalweg.api import components as api
from thalweg.api.calls import Nothing
from thalweg.artifacts import Store
from thalweg.client import Session
from thalweg.errors import RejectedError
from thalweg.graph.operations import SetParam
from thalweg.wire import subjects


async def test_a_release_is_what_it_was_published_as(session: Session, store: Store, name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", name)
    (first,) = (await publish(session, store, folder)).new
    assert first.full_name == f"{name}@1.0.0" and first.manifest.outputs == {"out": "int"} and first.yanked is None
    again = await publish(session, store, folder, author="bob")
    assert not again.new and again.known == [first]
    with pytest.raises(RejectedError, match="was published with other content by ada") as refused:
        await publish(session, store, write(folder, name, kind="str"))
    assert refused.value.code == "release.exists"
    (second,) = (await publish(session, store, write(folder, name, version="1.1.0", kind="str"))).new
    listed = (await session.ask(api.RELEASES, Nothing())).releases
    assert [one for one in listed if one.manifest.name == name] == [first, second]


async def test_only_what_changed_of_a_folder_is_new(session: Session, store: Store, name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", name)
    (folder / "other.py").write_text(CODE.format(name=f"{name}-other", version="1.0.0", type="int"))
    assert len((await publish(session, store, folder)).new) == 2
    (folder / "other.py").write_text(CODE.format(name=f"{name}-other", version="2.0.0", type="str"))
    found = await publish(session, store, folder)
    assert [one.full_name for one in found.new] == [f"{name}-other@2.0.0"]
    assert [one.full_name for one in found.known] == [f"{name}@1.0.0"]


async def test_of_two_that_publish_at_once_one_is_first(session: Session, store: Store, name: str, tmp_path: Path) -> None:
    archives = [upload(store, write(tmp_path / kind, name, kind=kind)) for kind in ("int", "str", "bool")]
    asked = [session.ask(api.PUBLISH, api.Publish(archive=one, author="ada"), 60) for one in archives]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, api.Published) for one in found) == 1
    assert {one.code for one in found if isinstance(one, RejectedError)} == {"release.exists"}


async def test_every_coordinator_knows_a_release_at_once(
    session: Session, other_session: Session, store: Store, name: str, tmp_path: Path
) -> None:
    await session.ask(backends_api.EDIT, pinning(name, f"{name}@1.0.0"))
    shown = await asyncio.gather(*(other_session.ask(backends_api.SHOW, backends_api.Which(backend=name)) for _ in range(4)))
    assert not any(one.deployable for one in shown)
    await publish(session, store, write(tmp_path / "a", name))
    shown = await asyncio.gather(*(other_session.ask(backends_api.SHOW, backends_api.Which(backend=name)) for _ in range(8)))
    assert all(one.deployable for one in shown)


async def test_params_are_checked_by_the_code_of_the_release(session: Session, store: Store, name: str, tmp_path: Path) -> None:
    await publish(session, store, write(tmp_path / "a", name))
    edited = await session.ask(backends_api.EDIT, pinning(name, f"{name}@1.0.0", count=-1))
    assert not edited.deployable and "params.count" in edited.faults[0]
    change = backends_api.Edit(backend=name, author="ada", operations=[SetParam(vertex="source", path="count", value=5)])
    assert (await session.ask(backends_api.EDIT, change)).deployable


@pytest.mark.parametrize(
    ("given_name", "version", "more", "code"),
    [
        ("filter", "1.0.0", "", "release.name_taken"),
        ("a.b", "1.0.0", "", "release.invalid"),
        ("x-new", "1.0", "", "release.version"),
        ("x-new", "1.0.0-a..b", "", "release.version"),
        ("x-new", "../1", "", "release.version"),
        ("x-new", "1.0.0", "raise ValueError(1)", "component.unreadable"),
        ("x-new", "1.0.0", "import os; os._exit(0)", "release.crashed"),
    ],
)
async def test_what_cannot_be_released_is_refused(
    session: Session, store: Store, tmp_path: Path, given_name: str, version: str, more: str, code: str
) -> None:
    before = await session.ask(api.RELEASES, Nothing())
    with pytest.raises(RejectedError) as refused:
        await publish(session, store, write(tmp_path / "a", given_name, version, more=more))
    assert refused.value.code == code
    assert await session.ask(api.RELEASES, Nothing()) == before


async def test_archives_that_are_none_are_refused(session: Session, store: Store, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no archive")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(60_000_000)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/main.py").write_text("x = 1")
    ids = [store.put_file(tmp_path / one).id for one in ("a", "large")] + [store.put_directory(tmp_path / "folder").id]
    for archive, code in zip(ids, ["release.archive"] * 3, strict=True):
        with pytest.raises(RejectedError) as refused:
            await session.ask(api.PUBLISH, api.Publish(archive=archive, author="eve"), 60)
        assert refused.value.code == code
    with pytest.raises(RejectedError) as refused:
        await session.ask(api.PUBLISH, api.Publish(archive="sha256:" + "0" * 64, author="eve"), 60)
    assert refused.value.code == "artifact.unknown"


NUMBERS = st.integers(-(2**63), 2**64 - 1)


HOSTILE = st.fixed_dictionaries(
    {},
    optional={
        "archive": st.sampled_from(["sha256:" + "0" * 64, "sha256:x", "../x", ""]) | st.none() | NUMBERS,
        "component": st.sampled_from(["a.b@1", "a b@1.0.0", "*@*", ">", "x@..", "x@1.0.0", "filter@1.0.0", "x" * 99, "../x@1"]) | NUMBERS,
        "author": st.just("eve") | st.text(max_size=5) | NUMBERS,
        "reason": st.text(max_size=20) | st.none(),
        "undo": st.booleans() | st.text(max_size=3),
        "backend": st.sampled_from(["nothing-of-that-name", "a.b", "*", ""]) | NUMBERS,
        "surplus": st.none(),
    },
)


VERBS = [("component", "publish"), ("component", "yank"), ("component", "rehearse"), ("component", "list"), ("backend", "outdated")]


READS = {("component", "rehearse"), ("component", "list"), ("backend", "outdated")}


@fuzz(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200) | HOSTILE.map(msgspec.msgpack.encode), call=st.sampled_from(VERBS))
async def test_requests_that_are_none_get_a_typed_error_and_change_nothing(session: Session, body: bytes, call: tuple[str, str]) -> None:
    before = await session.ask(api.RELEASES, Nothing())
    reply = await session.client.request(subjects.api("default", *call), body, timeout=10)
    answer: dict[str, Any] = msgspec.msgpack.decode(reply.data)
    if "error" in answer:
        assert answer["error"]["code"] and answer["error"]["code"] != "internal"
    else:
        assert call in READS
    assert await session.ask(api.RELEASES, Nothing()) == before
