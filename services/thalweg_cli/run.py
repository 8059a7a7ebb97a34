"""`thalweg run`: uploads, deploys and follows a pipeline under a lease, saves what it generated, keeps its evidence."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from thalweg.artifacts import Store
from thalweg.bus.captures import finish_capture
from thalweg.bus.connection import sync_of
from thalweg.client.runs import dead_letters, follow
from thalweg.errors import RejectedError, RunFailedError
from thalweg.graph.plan import Plan
from thalweg.sealed.evidence import workspace_key
from thalweg.settings import Settings
from thalweg.wire.capturing import ALL, Captured, check_capture
from thalweg.wire.commit import Commit
from thalweg.wire.receipts import Delivered, delivered
from thalweg_cli.deploying import deploy, spec_of_plan
from thalweg_cli.keeping import keep_evidence, record_outputs, write_evidence
from thalweg_cli.leased import Place, run_leased
from thalweg_cli.progress import Progress
from thalweg_cli.saving import check_out, save
from thalweg_cli.summary import Saved, Summary


def run_pipeline(settings: Settings, plan: Plan, out: Path, *, keep: bool, quiet: bool, capture: str = ALL) -> Summary:
    """Runs a faultless plan to its end.

    Args:
        settings: servers to use; the embedded stack is brought up for those that are not given.
        plan: what to run.
        out: folder for the generated files.
        keep: leave the deployment in place, stopped, with its log.
        quiet: show no progress.
        capture: what is recorded of its log, see `DeploymentSpec.capture`.

    Raises:
        RejectedError: the generated files could not be saved in `out`, `capture` names no port, or it would never end (`run.endless`);
            nothing was started.
        RunFailedError: a vertex failed.
        Interrupted: SIGINT or SIGTERM; all that was started has ended.
        UnreachableError: a server does not answer.
    """
    _refuse_endless(plan)
    check_capture(capture, {one.name: one.outputs for one in plan.vertices})
    check_out(out, [name for one in plan.vertices for name in one.generated.values()])
    settings = settings.model_copy(update={"data": settings.data.resolve()})
    name = f"{plan.pipeline.backend[:40]}-{os.urandom(4).hex()}"
    progress = Progress(plan, None if quiet else Console(stderr=True))
    note = f"thalweg run of {plan.pipeline.backend}"
    home = settings.data

    def work(place: Place) -> Awaitable[_Ran]:
        return _run(place, plan, out, progress, home, capture)

    ran = run_leased(settings, name, note, plan.vertices, work, at_end="commit", keep=keep)
    path = write_evidence(settings.data, name, ran.evidence)
    for vertex, commit in ran.commits.items():
        for slot in commit.missing:
            raise RunFailedError(f"{vertex}: the component left no file in slot {slot}", code="generated.missing")
    expect, commits = plan.pipeline.expect, _in_order(plan, ran.commits)
    return Summary(name, ran.seconds, commits, ran.saved, ran.dead, expect, path, ran.captured, ran.delivered)


@dataclass(frozen=True, slots=True)
class _Ran:
    seconds: float
    commits: dict[str, Commit]
    saved: list[Saved]
    dead: list[dict[str, Any]]
    evidence: bytes
    captured: Captured | None
    delivered: dict[str, Delivered]


async def _run(place: Place, plan: Plan, out: Path, progress: Progress, home: Path, capture: str) -> _Ran:
    started, settings, client = time.monotonic(), place.settings, place.client
    key = await asyncio.to_thread(workspace_key, settings.signing_key, home)
    store = Store.of(settings, place.lease)
    spec = await spec_of_plan(place, store, plan, place.lease, progress.upload)
    spec = msgspec.structs.replace(spec, capture=capture)
    await deploy(client, spec, plan)
    with progress:
        commits = await follow(client, spec, progress.update)
    saved = await asyncio.to_thread(save, store, commits, out)
    dead = await dead_letters(client, spec)
    captured = await finish_capture(client, spec)
    await record_outputs(client, spec, commits, captured)
    sync = sync_of(client, settings.nats_sync)
    evidence = await keep_evidence(client, store, key, spec, commits, captured, sync)
    sent = {one.name: found for one in spec.vertices if (found := delivered(one, commits[one.name])) is not None}
    return _Ran(time.monotonic() - started, commits, saved, dead, evidence, captured, sent)


def _refuse_endless(plan: Plan) -> None:
    for vertex in plan.vertices:
        if vertex.manifest.endpoint == "in":
            hint = "`thalweg apply`, then `thalweg deploy`, runs it until it is undeployed"
            raise RejectedError(f"{vertex.name} takes records from outside, and never ends by itself", code="run.endless", hint=hint)


def _in_order(plan: Plan, commits: dict[str, Commit]) -> dict[str, Commit]:
    return {name: commits[name] for one in plan.vertices for name in one.parts}
