"""Stored backends, by the API of a real coordinator: edits, conflicts, undo, compaction, requests that are none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thalweg.api import backends as api
from thalweg.api.calls import Nothing
from thalweg.artifacts import Store
from thalweg.client import Session
from thalweg.errors import RejectedError
from thalweg.graph.operations import AddVertex, Disconnect, Operation, SetAlias, SetParam
from thalweg.graph.pipeline import Endpoint, Vertex
from thalweg.wire import subjects

WEATHER = Path(__file__).resolve().parents[2] / "examples/weather"
_names = iter(f"backend-{number}" for number in range(1000))


@pytest.fixture
async def weather(session: Session, store: Store) -> str:
    """A stored backend, complete."""
    name = next(_names)
    document = yaml.safe_load((WEATHER / "pipeline.yaml").read_text())
    document["vertices"]["rows"]["files"]["table"] = (await asyncio.to_thread(store.put_file, WEATHER / "data/seattle-weather.csv")).id
    found = await session.ask(api.APPLY, api.Apply(backend=name, author="ada", document=document))
    assert found.deployable and found.revision == 1
    return name


def edit(backend: str, *operations: Operation, revision: int | None = None, author: str = "ada") -> api.Edit:
    return api.Edit(backend=backend, author=author, revision=revision, operations=list(operations))


def where(expression: str) -> SetParam:
    return SetParam(vertex="wet", path="where", value=expression)


async def test_the_same_file_applied_again_changes_nothing(session: Session, weather: str) -> None:
    document = (await session.ask(api.SHOW, api.Which(backend=weather))).document
    again = await session.ask(api.APPLY, api.Apply(backend=weather, author="bob", document=document))
    assert again.revision == 1 and not again.changes


async def test_an_edit_on_an_older_revision_is_rebased_where_it_touches_something_else(session: Session, weather: str) -> None:
    await session.ask(api.EDIT, edit(weather, where("precipitation > 1.0")))
    other = SetAlias(alias="main", target=Endpoint(vertex="wet", endpoint="out"))
    assert (await session.ask(api.EDIT, edit(weather, other, revision=1, author="bob"))).revision == 3


async def test_a_conflict_names_who_changed_what(session: Session, weather: str) -> None:
    await session.ask(api.EDIT, edit(weather, where("precipitation > 1.0")))
    with pytest.raises(RejectedError, match="revision 2 by ada") as refused:
        await session.ask(api.EDIT, edit(weather, where("wind > 1.0"), revision=1, author="bob"))
    assert refused.value.code == "operation.conflict"
    assert refused.value.facts["author"] == "ada"
    assert (await session.ask(api.SHOW, api.Which(backend=weather))).revision == 2


async def test_edits_at_once_are_all_kept_in_one_order(session: Session, weather: str) -> None:
    new = [AddVertex(name=f"more-{number}", vertex=Vertex(component="filter@1.0.0")) for number in range(12)]
    found = await asyncio.gather(*(session.ask(api.EDIT, edit(weather, one, revision=1)) for one in new))
    assert sorted(one.revision for one in found) == list(range(2, 14))
    shown = await session.ask(api.SHOW, api.Which(backend=weather))
    assert {f"more-{number}" for number in range(12)} <= set(shown.document["vertices"])


async def test_a_half_built_graph_says_what_is_missing(session: Session, weather: str) -> None:
    found = await session.ask(api.EDIT, edit(weather, Disconnect(edge="rows.out -> wet.in")))
    assert not found.deployable
    shown = await session.ask(api.SHOW, api.Which(backend=weather))
    states = {part.name: part.state for part in (*shown.vertices, *shown.edges)}
    assert states["wet"] == "incomplete" and states["rows"] == "complete"


async def test_an_expression_over_an_unknown_column_makes_its_vertex_invalid(session: Session, weather: str) -> None:
    await session.ask(api.EDIT, edit(weather, where("rainfall > 1.0")))
    shown = await session.ask(api.SHOW, api.Which(backend=weather))
    wet = next(part for part in shown.vertices if part.name == "wet")
    assert wet.state == "invalid" and "rainfall" in wet.reasons[0]


async def test_undo_and_checkout_append(session: Session, weather: str) -> None:
    first = await session.ask(api.SHOW, api.Which(backend=weather))
    await session.ask(api.EDIT, edit(weather, where("precipitation > 1.0")))
    undone = await session.ask(api.UNDO, api.GoTo(backend=weather, author="ada", revision=2))
    assert (undone.revision, undone.digest) == (3, first.digest)
    back = await session.ask(api.CHECKOUT, api.GoTo(backend=weather, author="ada", revision=2))
    assert back.revision == 4 and back.digest != first.digest
    compared = await session.ask(api.DIFF, api.Compare(backend=weather, old=3))
    assert compared.lines == ['~ vertex wet params.where: "precipitation > 0" -> "precipitation > 1.0"']


async def test_compaction_keeps_the_graph_and_the_old_history(session: Session, weather: str) -> None:
    for number in range(5):
        await session.ask(api.EDIT, edit(weather, where(f"precipitation > {number}.5")))
    before = await session.ask(api.SHOW, api.Which(backend=weather))
    compacted = await session.ask(api.COMPACT, api.Signed(backend=weather, author="ada"))
    assert (compacted.revision, compacted.digest) == (7, before.digest)
    short = await session.ask(api.LOG, api.History(backend=weather))
    assert [entry.sequence for entry in short.entries] == [7]
    assert len((await session.ask(api.LOG, api.History(backend=weather, all=True))).entries) == 7
    assert (await session.ask(api.SHOW, api.Which(backend=weather, revision=3))).digest != before.digest
    late = edit(weather, SetAlias(alias="x", target=Endpoint(vertex="wet", endpoint="out")), revision=2)
    assert (await session.ask(api.EDIT, late)).revision == 8


async def test_a_coordinator_that_starts_anew_answers_the_same(session: Session, other_session: Session, weather: str) -> None:
    await session.ask(api.EDIT, edit(weather, where("wind > 2.0")))
    assert await other_session.ask(api.SHOW, api.Which(backend=weather)) == await session.ask(api.SHOW, api.Which(backend=weather))


async def test_what_is_unknown_is_refused(session: Session, weather: str) -> None:
    for call, request in (
        (api.SHOW, api.Which(backend="nothing")),
        (api.SHOW, api.Which(backend=weather, revision=99)),
        (api.UNDO, api.GoTo(backend=weather, author="ada", revision=99)),
        (api.EDIT, edit(weather, where("x"), revision=0)),
    ):
        with pytest.raises(RejectedError):
            await session.ask(call, request)  # type: ignore[misc]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
HOSTILE = st.fixed_dictionaries(
    {},
    optional={
        "backend": st.sampled_from(["a.b", "a b", "*", ">", "", "x" * 64, "../x", "a\n"]) | JSON,
        "author": st.just("eve") | JSON,
        "revision": st.integers(-(2**63), 2**64 - 1) | JSON,
        "operations": st.lists(st.fixed_dictionaries({"op": st.sampled_from(["add_vertex", "connect", "nope"]) | JSON}), max_size=3) | JSON,
        "document": JSON,
        "surplus": JSON,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200) | HOSTILE.map(msgspec.msgpack.encode), verb=st.sampled_from(["edit", "apply", "show", "log", "undo"]))
async def test_requests_that_are_none_get_a_typed_error_and_change_nothing(session: Session, body: bytes, verb: str) -> None:
    before = [one.backend for one in (await session.ask(api.LIST, Nothing())).backends]
    reply = await session.client.request(subjects.api("default", "backend", verb), body, timeout=10)
    answer: dict[str, Any] = msgspec.msgpack.decode(reply.data)
    assert answer["error"]["code"] and answer["error"]["code"] != "internal"
    assert [one.backend for one in (await session.ask(api.LIST, Nothing())).backends] == before
