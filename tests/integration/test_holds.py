"""Holds on a deployment log: nothing that is held is trimmed, whoever else has read it, and a dead holder blocks nobody for ever."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from thalweg.bus.connection import Client, connect
from thalweg.bus.deployments import count_messages, delete_deployment, ensure_bucket, store_deployment
from thalweg.bus.heads import get_message
from thalweg.bus.holds import Hold, held_from, holds_bucket, place_hold
from thalweg.client.runs import follow, read_commits, wait_for_log
from thalweg.embedded import EmbeddedStack
from thalweg.graph.pipeline import Pipeline
from thalweg.graph.plan import check_pipeline
from thalweg.sdk.catalog import Catalog
from thalweg.wire import subjects
from thalweg.wire.planned import spec_of
from thalweg.wire.spec import DeploymentSpec

PARTS = Path(__file__).parent / "parts.py"
DEADLINE_S = 60.0


def _spec(name: str) -> DeploymentSpec:
    """2,000 numbers in 200 messages, of which the source's subject holds 16."""
    vertices: dict[str, Any] = {
        "numbers": {"component": "count@1.0.0", "params": {"count": 2_000}},
        "step": {"component": "swallow@1.0.0"},
    }
    pipeline = Pipeline.model_validate({"backend": "test", "vertices": vertices, "edges": ["numbers.out -> step.in"]})
    plan = check_pipeline(pipeline, Catalog(paths=(PARTS,)), Path())
    plan.raise_if_faulty()
    found = [spec_of(one) for one in plan.vertices]
    return DeploymentSpec("default", name, "test", found, max_messages_per_subject=16, batch_records=10)


@contextmanager
def _coordinator(stack: EmbeddedStack, data: Path) -> Iterator[None]:
    environment = {**os.environ, **stack.environment(), "THALWEG_DATA": str(data)}
    process = subprocess.Popen([sys.executable, "-m", "thalweg_coordinator"], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


async def _first_of_source(client: Client, name: str) -> Any:
    """The first number that the log has."""
    query = {"seq": 1, "next_by_subj": subjects.port("default", name, "numbers", "out")}
    found = await get_message(client, subjects.stream("default", name), query)
    return msgspec.msgpack.decode(found.data)["v"][0] if found is not None else None


async def _until_full(client: Client, spec: DeploymentSpec) -> None:
    """Waits until the reader has worked on all that the source could write."""
    subject = subjects.port("default", spec.name, "numbers", "out")
    async with asyncio.timeout(DEADLINE_S):
        while True:
            messages = (await count_messages(client, "default", spec.name)).get(subject, 0)
            commits = await read_commits(client, spec)
            count = commits["numbers"].ports["out"].count if "numbers" in commits and "out" in commits["numbers"].ports else 0
            # By messages: where the source was slow for a moment, they have fewer than ten records.
            if messages == spec.max_messages_per_subject and "step" in commits and commits["step"].counters.records_in == count:
                return
            await asyncio.sleep(0.05)


async def test_what_is_held_is_not_trimmed_and_the_graph_goes_on_once_the_hold_advances_or_expires(
    stack: EmbeddedStack, tmp_path: Path
) -> None:
    client = await connect(stack.nats_url, "test")
    for name, expires in (("held-advancing", False), ("held-expiring", True)):
        spec = _spec(name)
        await ensure_bucket(client, "default")
        await holds_bucket(client, "default").ensure()
        await place_hold(client, "default", name, "capture", 1, ttl_s=3.0 if expires else 60.0)
        with _coordinator(stack, tmp_path):
            await store_deployment(client, spec)
            await wait_for_log(client, spec)
            await _until_full(client, spec)
            if expires:
                commits = await asyncio.wait_for(follow(client, spec, lambda heads: None), DEADLINE_S)
            else:
                assert await _first_of_source(client, name) == 0
                async with Hold(client, "default", name, "capture", 1) as hold:
                    hold.advance(2**62)
                    commits = await asyncio.wait_for(follow(client, spec, lambda heads: None), DEADLINE_S)
                assert await held_from(client, "default", name) is None
            assert commits["step"].counters.records_in == 2_000
            await delete_deployment(client, "default", name)
    await client.close()


async def test_a_hold_is_renewed_and_goes_with_its_deployment(stack: EmbeddedStack) -> None:
    client = await connect(stack.nats_url, "test")
    await ensure_bucket(client, "default")
    async with Hold(client, "default", "renewed", "capture", 7, ttl_s=0.6) as hold, asyncio.timeout(DEADLINE_S):
        bucket = holds_bucket(client, "default")
        written = (await bucket.get("renewed.capture")).revision
        while (await bucket.get("renewed.capture")).revision < written + 4:
            assert await held_from(client, "default", "renewed") == 7
            await asyncio.sleep(0.05)
        hold.advance(9)
        while await held_from(client, "default", "renewed") != 9:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await delete_deployment(client, "default", "renewed")
        while not hold.is_lost:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert await bucket.keys("renewed.>") == []
    await client.close()
