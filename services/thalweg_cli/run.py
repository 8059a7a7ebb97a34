"""`thalweg run`: uploads, deploys and follows a pipeline under a lease, saves what it generated, keeps its evidence."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from thalweg.artifacts import Store
from thalweg.client.runs import dead_letters, follow
from thalweg.errors import RunFailedError
from thalweg.graph.plan import Plan
from thalweg.sealed.evidence import workspace_key
from thalweg.sealed.signatures import SigningKey
from thalweg.settings import Settings
from thalweg.wire.commit import Commit
from thalweg_cli.deploying import deploy, spec_of_plan
from thalweg_cli.keeping import keep_evidence, record_outputs, write_evidence
from thalweg_cli.leased import Place, run_leased
from thalweg_cli.progress import Progress
from thalweg_cli.saving import check_out, save
from thalweg_cli.summary import Saved, Summary


def run_pipeline(settings: Settings, plan: Plan, out: Path, *, keep: bool, quiet: bool) -> Summary:
    """Runs a faultless plan to its end.

    Args:
        settings: servers to use; the embedded stack is brought up for those that are not given.
        plan: what to run.
        out: folder for the generated files.
        keep: leave the deployment in place, stopped, with its log.
        quiet: show no progress.

    Raises:
        RejectedError: the generated files could not be saved in `out`; nothing was started.
        RunFailedError: a vertex failed.
        Interrupted: SIGINT or SIGTERM; all that was started has ended.
        UnreachableError: a server does not answer.
    """
    check_out(out, [name for one in plan.vertices for name in one.generated.values()])
    settings = settings.model_copy(update={"data": settings.data.resolve()})
    name = f"{plan.pipeline.backend[:40]}-{os.urandom(4).hex()}"
    progress = Progress(plan, None if quiet else Console(stderr=True))
    key = workspace_key(settings.signing_key, settings.data)
    note = f"thalweg run of {plan.pipeline.backend}"
    ran = run_leased(settings, name, note, plan.vertices, lambda place: _run(place, plan, out, progress, key), at_end="commit", keep=keep)
    path = write_evidence(settings.data, name, ran.evidence)
    for vertex, commit in ran.commits.items():
        for slot in commit.missing:
            raise RunFailedError(f"{vertex}: the component left no file in slot {slot}", code="generated.missing")
    return Summary(name, ran.seconds, _in_order(plan, ran.commits), ran.saved, ran.dead, plan.pipeline.expect, path)


@dataclass(frozen=True, slots=True)
class _Ran:
    seconds: float
    commits: dict[str, Commit]
    saved: list[Saved]
    dead: list[dict[str, Any]]
    evidence: bytes


async def _run(place: Place, plan: Plan, out: Path, progress: Progress, key: SigningKey) -> _Ran:
    started, settings, client = time.monotonic(), place.settings, place.client
    store = Store.of(settings, place.lease)
    spec = await spec_of_plan(place, store, plan, place.lease, progress.upload)
    await deploy(client, spec, plan)
    with progress:
        commits = await follow(client, spec, progress.update)
    saved = await asyncio.to_thread(save, store, commits, out)
    dead = await dead_letters(client, spec)
    await record_outputs(client, spec, commits)
    evidence = await keep_evidence(client, store, key, spec, commits)
    return _Ran(time.monotonic() - started, commits, saved, dead, evidence)


def _in_order(plan: Plan, commits: dict[str, Commit]) -> dict[str, Commit]:
    return {one.name: commits[one.name] for one in plan.vertices}
