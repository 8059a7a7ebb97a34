"""Pushes the values of a case into the input endpoints of its deployment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from thalweg.bus.connection import Client, NatsError
from thalweg.bus.errors import STORE_FAILED
from thalweg.errors import RejectedError, RunFailedError
from thalweg.graph.plan import Plan, PlannedVertex
from thalweg.graph.wording import did_you_mean
from thalweg.sdk.conform import conformer
from thalweg.sdk.records import python_type
from thalweg.sdk.values import RecordError
from thalweg.testing.arranging import Misfit
from thalweg.testing.goldens import read_golden
from thalweg.testing.manifest import MAX_PUSHED, Case
from thalweg.wire import subjects
from thalweg.wire.spec import DeploymentSpec

Pushes = dict[str, list[bytes]]
"""By vertex: values as they are published."""
REPLY_TIMEOUT_S = 5.0
FULL_S = 0.02  # between two tries while the graph takes no more
_encode = msgspec.msgpack.Encoder().encode


def pushes_of(case: Case, plan: Plan, base: Path) -> tuple[Pushes, list[Misfit]]:
    """The values of a case, encoded as their endpoints have them, and what cannot be pushed. Blocking: files are read.

    An input endpoint that nothing is pushed into has no values, and ends at once.
    """
    pushes: Pushes = {one.name: [] for one in plan.vertices if one.manifest.endpoint == "in"}
    misfits: list[Misfit] = []
    vertices = {one.name: one for one in plan.vertices}
    for end, given in case.push.items():
        name, _, endpoint = end.partition(".")
        if name not in pushes or endpoint != "in":
            there = [f"{one}.in" for one in pushes]
            misfits.append(Misfit(f"push.{end}", "needs an input endpoint, and this is none", did_you_mean(end, there)))
            continue
        try:
            values = _read(base / given) if isinstance(given, str) else given
        except RejectedError as error:
            misfits.append(Misfit(f"push.{end}", str(error).removeprefix(f"{base}/")))
            continue
        _encode_all(end, values, vertices[name], pushes[name], misfits)
    return pushes, misfits


def _read(path: Path) -> list[Any]:
    values = []
    for value in read_golden(path):
        values.append(value)
        if len(values) > MAX_PUSHED:
            raise RejectedError(f"{path} has more than {MAX_PUSHED:,} values", code="push.too_many")
    return values


def _encode_all(end: str, values: Sequence[Any], vertex: PlannedVertex, found: list[bytes], misfits: list[Misfit]) -> None:
    kind = vertex.outputs["out"]
    conform, target = conformer(kind, "in"), python_type(kind)
    for index, value in enumerate(values):
        try:
            found.append(_encode(conform(msgspec.convert(value, target))))
        except (msgspec.ValidationError, RecordError) as error:
            misfits.append(Misfit(f"push.{end}.{index}", str(error)))
            return


async def push(client: Client, spec: DeploymentSpec, pushes: Mapping[str, Sequence[bytes]]) -> None:
    """Publishes all values, those of a vertex in order; waits while the graph takes no more.

    Raises:
        RunFailedError: `push.refused` or `push.unanswered`.
    """
    await asyncio.gather(*(_push_into(client, subjects.inlet(spec.workspace, spec.name, one), bodies) for one, bodies in pushes.items()))


async def _push_into(client: Client, subject: str, bodies: Sequence[bytes]) -> None:
    for body in bodies:
        while (answer := await _publish(client, subject, body)).get("err_code") == STORE_FAILED:  # noqa: ASYNC110
            await asyncio.sleep(FULL_S)
        if answer:
            raise RunFailedError(f"the log refuses a value: {answer.get('description')}", code="push.refused")


async def _publish(client: Client, subject: str, body: bytes) -> dict[str, Any]:
    """The error of the answer; empty where there is none."""
    try:
        reply = await client.request(subject, body, timeout=REPLY_TIMEOUT_S)
    except (NatsError, OSError, TimeoutError) as error:
        what = f"no reply to a value that was pushed: {type(error).__name__}; whether it is stored is not known"
        raise RunFailedError(what, code="push.unanswered", hint="run the test again") from error
    return dict(json.loads(reply.data).get("error", {}))
