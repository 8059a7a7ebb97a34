"""Observes a running deployment from its log, within bounds: works when the coordinator does not."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import msgspec

from thalweg.bus.connection import Client
from thalweg.bus.counted import Counted, count_log
from thalweg.bus.deployments import load_deployment
from thalweg.bus.heads import StoredMessage, get_message, latest_commits, read_heads
from thalweg.bus.holds import holds_of
from thalweg.bus.presence import coordinator_answers
from thalweg.bus.stalls import find_stall
from thalweg.bus.writer import chunk_count
from thalweg.client.diagnosis.answering import answering
from thalweg.client.diagnosis.facts import Facts, Patience
from thalweg.client.diagnosis.samples import read_samples
from thalweg.errors import RejectedError, RunFailedError
from thalweg.wire import subjects
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec

CALL_S = 5.0
SETTLED_S = 2.0  # without anything written, before it is looked whether the graph waits for itself
MAX_FULL = 50  # subjects that are looked into


@dataclass(frozen=True, slots=True)
class _Look:
    commits: dict[str, Commit]
    heads: list[StoredMessage]


async def observe(client: Client, workspace: str, name: str, patience: Patience, watch_s: float = 1.0) -> Facts:
    """Looks at a deployment twice, `watch_s` apart, unless it is over at the first look.

    Raises:
        RejectedError: `deployment.unknown`.
        UnreachableError: `nats.unreachable`, the server does not answer in time.
    """
    try:
        async with answering(watch_s):
            return await _observe(client, workspace, name, patience, watch_s)
    except RunFailedError as error:  # its log went while it was read
        raise RejectedError(f"deployment {name} was removed", code="deployment.unknown") from error


async def _observe(client: Client, workspace: str, name: str, patience: Patience, watch_s: float) -> Facts:
    spec = await load_deployment(client, workspace, name)
    has_coordinator = await coordinator_answers(client, workspace)
    before = await count_log(client, workspace, name, CALL_S)
    if before is None:
        return _without_log(spec, has_coordinator, patience)
    first = await _look(client, spec)
    second = first
    if not _is_over(spec, first.commits):
        await asyncio.sleep(watch_s)
        second = await _look(client, spec)
    after = await count_log(client, workspace, name, CALL_S) or before
    return Facts(
        spec=spec,
        commits=second.commits,
        earlier=first.commits,
        between_s=(after.now_ns - before.now_ns) / 1e9 if second is not first else 0.0,
        written_ns=_written(second),
        heads={one.subject: one.sequence - chunk_count(one) + 1 for one in second.heads},
        kept_from=await _kept_from(client, spec, after),
        counts=after.messages,
        holds=await holds_of(client, workspace, name),
        now_ns=after.now_ns,
        since_ns=spec.deployed_ns or after.created_ns,
        has_coordinator=has_coordinator,
        stall=_stall(spec, second, before, after),
        patience=patience,
        **await read_samples(client, spec, second.commits),
    )


def _without_log(spec: DeploymentSpec, has_coordinator: bool, patience: Patience) -> Facts:
    now_ns = time.time_ns()
    return Facts(
        spec, {}, has_log=False, has_coordinator=has_coordinator, patience=patience, now_ns=now_ns, since_ns=spec.deployed_ns or now_ns
    )


async def _look(client: Client, spec: DeploymentSpec) -> _Look:
    heads = await read_heads(client, spec.workspace, spec.name, CALL_S)
    commits = latest_commits(heads)
    # A partition that was retired is looked at as one that has come to its end.
    retired = {one.name: commits.get(one.name, Commit(epoch=0, number=0)) for one in spec.vertices if one.retired}
    over = {name: msgspec.structs.replace(commit, ended=True, failure=None) for name, commit in retired.items()}
    return _Look(commits | over, heads)


def _is_over(spec: DeploymentSpec, commits: dict[str, Commit]) -> bool:
    return spec.has_ended(commits) or spec.has_failed(commits) or spec.desired in ("stopped", "discarding")


def _written(look: _Look) -> dict[str, int]:
    """When each vertex has last written."""
    found: dict[str, int] = {}
    for head in look.heads:
        place = subjects.parse_port(head.subject)
        if place is not None:
            found[place[0]] = max(found.get(place[0], 0), head.time_ns)
    return found


async def _kept_from(client: Client, spec: DeploymentSpec, counted: Counted) -> dict[str, int]:
    """Of full subjects, where what the log still has of them begins."""
    full = [one for one, count in sorted(counted.messages.items()) if count >= spec.max_messages_per_subject]
    found: dict[str, int] = {}
    for subject in full[:MAX_FULL]:
        first = await get_message(client, subjects.stream(spec.workspace, spec.name), {"seq": 1, "next_by_subj": subject})
        if first is not None:
            found[subject] = first.sequence
    return found


def _stall(spec: DeploymentSpec, look: _Look, before: Counted, after: Counted) -> tuple[str, str, str] | None:
    newest_ns = max((one.time_ns for one in look.heads), default=after.now_ns)
    if before.last_sequence != after.last_sequence or after.now_ns - newest_ns < SETTLED_S * 1e9 or _is_over(spec, look.commits):
        return None
    stall = find_stall(spec, look.heads, after.messages)
    return (stall.vertex, stall.empty, stall.full) if stall is not None else None
