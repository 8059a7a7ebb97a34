"""Deployments of stored backends: deploy, status, logs, and requests that are none."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from integration.deploying import Place, has, names, status_of, store_lines, undeploy, when
from thalweg.api import deployments as api
from thalweg.api import evidence as evidence_api
from thalweg.api.backends import APPLY, Apply
from thalweg.api.calls import Nothing
from thalweg.bus.deployments import load_deployment
from thalweg.client import Session
from thalweg.errors import RejectedError
from thalweg.wire import subjects


async def test_several_deployments_of_one_backend_run_side_by_side(asking: Session) -> None:
    name = await store_lines(asking, 10_000_000, 0.001)
    for other in ("a", "b"):
        await asking.ask(api.DEPLOY, api.Deploy(backend=name, name=f"{name}-{other}"))
    with pytest.raises(RejectedError) as refused:
        await asking.ask(api.DEPLOY, api.Deploy(backend=name, name=f"{name}-a"))
    assert refused.value.code == "deployment.exists"
    for other in ("a", "b"):
        await when(asking, f"{name}-{other}", has("lines", 10))
    assert (await undeploy(asking, f"{name}-a", discard=True)).outcome == "discarded"
    assert (await status_of(asking, f"{name}-b")).state == "running"
    await undeploy(asking, f"{name}-b", discard=True)


async def test_only_a_complete_graph_is_deployed(asking: Session) -> None:
    name = next(names)
    document = {"backend": name, "vertices": {"tag": {"component": "tag@1.0.0"}}, "edges": []}
    await asking.ask(APPLY, Apply(backend=name, author="ada", document=document))
    with pytest.raises(RejectedError, match="input port 'in' is not connected"):
        await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    with pytest.raises(RejectedError):
        await load_deployment(asking.client, "default", name)


async def test_commands_deploy_look_and_undeploy(place: Place, asking: Session) -> None:
    name = await store_lines(asking, 50)
    assert (await asyncio.to_thread(place.command, "deploy", name)).returncode == 0
    await when(asking, name, lambda vertices, whole: whole.state == "finished")
    told = json.loads((await asyncio.to_thread(place.command, "status", name, "--json")).stdout)
    assert [one["records_in"] for one in told[0]["vertices"]] == [50, 50, 50]
    assert "ended: 50 in" in (await asyncio.to_thread(place.command, "logs", name, "tag")).stdout
    done = await asyncio.to_thread(place.command, "undeploy", name)
    assert done.returncode == 0 and "saved lines." in done.stdout
    shown = await asyncio.to_thread(place.command, "status", name)
    assert shown.stdout.startswith(f"{name}: stopped")
    assert (await asyncio.to_thread(place.command, "undeploy", name)).returncode == 3


LEAF = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20) | st.binary(max_size=20)


JSON = LEAF | st.lists(LEAF, max_size=4) | st.dictionaries(st.text(max_size=12), LEAF | st.lists(LEAF, max_size=2), max_size=4)


BAD_NAME = st.sampled_from(["a.b", "a b", "*", ">", "", "x" * 64, "../x", "a\n", "nothing", "api"]) | JSON


HOSTILE = st.fixed_dictionaries(
    {"surplus": JSON},
    optional={"backend": BAD_NAME, "name": BAD_NAME, "id": BAD_NAME, "revision": st.integers(-(2**63), 2**64 - 1) | JSON, "discard": JSON},
) | st.fixed_dictionaries({"name": BAD_NAME}, optional={"backend": BAD_NAME, "id": BAD_NAME})


VERBS = [("deployment", "deploy"), ("deployment", "redeploy"), ("deployment", "undeploy"), ("evidence", "show")]


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200) | HOSTILE.map(msgspec.msgpack.encode), verb=st.sampled_from(VERBS))
async def test_requests_that_are_none_get_a_typed_error_and_change_nothing(asking: Session, body: bytes, verb: tuple[str, str]) -> None:
    before = [one.name for one in (await asking.ask(api.STATUS, api.MaybeNamed())).deployments]
    reply = await asking.client.request(subjects.api("default", *verb), body, timeout=10)
    answer: dict[str, Any] = msgspec.msgpack.decode(reply.data)
    assert answer["error"]["code"] and answer["error"]["code"] != "internal"
    assert [one.name for one in (await asking.ask(api.STATUS, api.MaybeNamed())).deployments] == before
    await asking.ask(evidence_api.LIST, Nothing())
