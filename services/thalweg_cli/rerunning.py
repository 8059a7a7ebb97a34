"""Runs a graph on the records of a replay under a lease, captured likewise, and compares both replays."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from thalweg.api.backends import SHOW, Which
from thalweg.artifacts import Store
from thalweg.bus.captures import finish_capture
from thalweg.client import open_session
from thalweg.client.runs import follow
from thalweg.errors import RejectedError, RunFailedError
from thalweg.graph.pipeline import fault_lines
from thalweg.graph.plan import Plan, check_pipeline
from thalweg.replay.commits import EVERYTHING, Window
from thalweg.replay.compare import Difference, first_difference, upstream_first
from thalweg.replay.counting import PortChange, port_changes
from thalweg.replay.feeding import FedReleases, content_of, fed, pinned
from thalweg.replay.feeds import types_of_vertices
from thalweg.replay.ordering import in_recorded_order
from thalweg.replay.partial import check_rerun, compare_within, is_window
from thalweg.replay.reader import Replay
from thalweg.replay.standing_in import Wishes, plan_stand_ins, unanswered
from thalweg.sdk.catalog import Catalog
from thalweg.settings import Settings
from thalweg.wire.capturing import ALL, BOUNDARY, captured_ports
from thalweg.wire.commit import Commit
from thalweg.wire.receipts import receipt_ports
from thalweg.wire.spec import DeploymentSpec, FileSpec
from thalweg_cli.at_hand import releases_at_hand
from thalweg_cli.deploying import deploy, spec_of_plan
from thalweg_cli.first_difference import FILE_NAME
from thalweg_cli.leased import Place, run_leased
from thalweg_cli.overrides import apply_overrides
from thalweg_cli.replay import open_replay
from thalweg_cli.servers import servers_of_data

RERUN = "rerun"


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be otherwise than in the recorded run.

    Attributes:
        sets: params, as `vertex.param=VALUE`.
        pins: releases by vertex.
        recorded: vertices beside the sources whose recorded output is given.
        live: vertices that are not deterministic, and run all the same.
        components: releases to try, whatever is pinned.
        revision: of the stored backend; None for what ran.
        window: which of the recorded records come.
    """

    sets: list[str]
    pins: Mapping[str, str]
    recorded: list[str]
    live: list[str]
    components: list[Path]
    revision: int | None
    window: Window = EVERYTHING


@dataclass(frozen=True, slots=True)
class Reran:
    """What came of it.

    Attributes:
        recorded: vertices that were not run.
        answered: vertices that gave what they gave then for each record.
        changes: by port, upstream ones first.
        first: the first record that differs.
        files: generated files that differ, as lines.
        notes: what is to be known beside it.
    """

    recorded: list[str]
    answered: list[str]
    changes: list[PortChange]
    first: Difference | None
    files: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not self.files and all(one.is_same for one in self.changes)


def rerun_replay(settings: Settings, which: str, changes: Changes, as_json: bool) -> Reran:
    """Runs it and compares. Blocking; for the main thread.

    Raises:
        RejectedError: the replay cannot be read or is incomplete, or the graph has faults.
        RunFailedError: a vertex failed, or the second run could not be captured.
        Interrupted: SIGINT or SIGTERM; all that was started has ended.
        UnreachableError: a server does not answer.
    """
    again = run_again(settings, which, changes, as_json, RERUN)
    return _compared(again)


@dataclass(frozen=True, slots=True)
class Again:
    """Two runs of the same.

    Attributes:
        before, after: their replays.
        ran, spec: of both.
        planned: how the second one was made.
    """

    before: Replay
    after: Replay
    ran: DeploymentSpec
    spec: DeploymentSpec
    planned: _Planned


@dataclass(frozen=True, slots=True)
class _Planned:
    """A run that follows another one.

    Attributes:
        plan: of it.
        replaced: vertices that do not run in it.
        answered: vertices that give what they gave then for each record.
        notes: what is to be known beside it.
    """

    plan: Plan
    replaced: list[str]
    answered: list[str]
    notes: list[str]


def run_again(settings: Settings, which: str, changes: Changes, as_json: bool, verb: str) -> Again:
    """Runs a replay again, captured likewise. Blocking; for the main thread.

    Raises:
        As `rerun_replay`.
    """
    settings = settings.model_copy(update={"data": settings.data.resolve()})
    before = open_replay(settings, which)
    ran = before.spec
    if not before.verify() or ran is None:
        account = before.completeness
        why = before.faults[0] if before.faults else account.reason if account is not None else "it is damaged"
        raise RejectedError(f"the replay is incomplete: {why}", code="replay.incomplete", hint="`thalweg replay show` tells more")
    planned = _planned(settings, before, ran, changes, as_json)
    if verb == RERUN and is_window(before):
        check_rerun(planned.plan)
    name = f"{verb}-{ran.name[:40]}-{os.urandom(4).hex()}"

    async def work(place: Place) -> tuple[DeploymentSpec, Replay]:
        return await _run(place, planned, ran)

    note = f"thalweg replay {verb} of {ran.backend}"
    spec, after = run_leased(settings, name, note, planned.plan.vertices, work, at_end="roll back", servers=_own_servers)
    return Again(before, after, ran, spec, planned)


def _planned(settings: Settings, before: Replay, ran: DeploymentSpec, changes: Changes, as_json: bool) -> _Planned:
    content = content_of(ran)
    if changes.revision is not None:
        content = {**content, **asyncio.run(_stored(settings, ran.backend, changes.revision))}
    tried = Catalog((), tuple(changes.components)).names()
    content = pinned(apply_overrides(content, changes.sets, []), changes.pins, tried)
    at_hand = releases_at_hand(changes.components, as_json)
    stand_ins = plan_stand_ins(content, before, ran, Wishes(changes.recorded, changes.live, tried), at_hand)
    if changes.window != EVERYTHING:  # what such a vertex gave has no place on fewer records
        stand_ins.notes.extend(f"{name} is not deterministic, and runs: its answers are not to single records" for name in stand_ins.given)
        stand_ins.given.clear()
    try:
        path, window = before.path.resolve(), changes.window
        pipeline, replaced = fed(content, ran, path, stand_ins.given, window, answered=stand_ins.answered)
    except ValidationError as error:
        raise RejectedError("\n".join(fault_lines(error)), code="pipeline.invalid") from error
    releases = FedReleases(at_hand, types_of_vertices(ran))
    bound = any(text.startswith("sha256:") for vertex in pipeline.vertices.values() for text in vertex.files.values())
    with servers_of_data(settings) if bound else nullcontext() as ready:  # types may depend on what is in a file
        store = Store.of(ready) if ready is not None else None
        plan = check_pipeline(pipeline, releases, Path(), locate=None if store is None else _located(store, _files_of(ran)))
    plan.raise_if_faulty()
    return _Planned(plan, replaced, stand_ins.answered, stand_ins.notes)


def _files_of(ran: DeploymentSpec) -> dict[str, FileSpec]:
    """By artifact."""
    return {file.artifact: file for one in ran.vertices for file in one.files.values()}


def _located(store: Store, files: Mapping[str, FileSpec]) -> Callable[[str], Path | None]:
    def locate(artifact: str) -> Path | None:
        try:
            return store.fetch(artifact, files[artifact].name if artifact in files else artifact)
        except RejectedError:
            return None

    return locate


async def _stored(settings: Settings, backend: str, revision: int) -> dict[str, Any]:
    async with open_session(settings) as session:
        return (await session.ask(SHOW, Which(backend=backend, revision=revision))).document


def _capture_again(ran: DeploymentSpec, plan: Plan) -> str:
    """What the first run has captured, as far as it is there."""
    if ran.capture in (ALL, BOUNDARY):
        return ran.capture
    there = {f"{one.name}.{port}" for one in plan.vertices for port in one.outputs}
    return ",".join(one for one in ran.capture.split(",") if one in there) or ALL


async def _run(place: Place, planned: _Planned, ran: DeploymentSpec) -> tuple[DeploymentSpec, Replay]:
    """Runs it with the names that files had: what reads one may go by its ending."""
    store, plan, files = Store.of(place.settings, place.lease), planned.plan, _files_of(ran)
    spec = await spec_of_plan(place, store, plan, place.lease, lambda name: None)
    named = [{slot: files.get(file.artifact, file) for slot, file in one.files.items()} for one in spec.vertices]
    vertices = [msgspec.structs.replace(one, files=own) for one, own in zip(spec.vertices, named, strict=True)]
    vertices, notes = in_recorded_order(vertices, ran, next(one.files["replay"] for one in vertices if one.name in planned.replaced))
    planned.notes.extend(notes)
    spec = msgspec.structs.replace(spec, capture=_capture_again(ran, plan), vertices=vertices)
    await deploy(place.client, spec, plan)
    await follow(place.client, spec, lambda commits: None)
    captured = await finish_capture(place.client, spec)
    if captured is None or captured.artifact is None or not captured.complete:
        why = captured.reason if captured is not None else "it was not captured"
        raise RunFailedError(f"the second run has no whole replay: {why}", code="replay.incomplete")
    return spec, Replay(await asyncio.to_thread(store.fetch, captured.artifact, FILE_NAME))


def _compared(again: Again) -> Reran:
    """Ports of the first run that were captured, and those that only the second one has; not those that were given."""
    before, after, planned = again.before, again.after, again.planned
    old = [one for one in upstream_first(again.ran) if one in captured_ports(again.ran) and one[0] not in planned.replaced]
    known = {(one.name, port) for one in again.ran.vertices for port in one.outputs}
    new = [one for one in upstream_first(again.spec) if one in captured_ports(again.spec) and one not in known]
    if is_window(before):
        return _compared_within(again, old)
    changes = port_changes(before, after, [*old, *new], receipt_ports(again.spec))
    differing = [(one.vertex, one.port) for one in changes if not one.is_same]
    commits = after.last_commits()
    dead = {name: one.counters.dead for name, one in commits.items()}
    notes, files = [*planned.notes, *unanswered(planned.answered, dead)], _files(before.last_commits(), commits)
    return Reran(planned.replaced, planned.answered, changes, first_difference(before, after, differing), files, notes)


def _compared_within(again: Again, ports: list[tuple[str, str]]) -> Reran:
    """As far as the window of the first run has all that a port comes from; files are of a whole run, and not compared."""
    changes, first = compare_within(again.before, again.after, again.ran, again.planned.replaced, ports)
    compared = {(one.vertex, one.port) for one in changes}
    left_out = [one for one in ports if one not in compared and next(again.before.records(*one), None) is not None]
    notes = [*again.planned.notes, "a window: ports are compared as far as all that they come from is in it"]
    notes += [f"{vertex}.{port}: nothing of it comes from the window alone" for vertex, port in left_out]
    return Reran(again.planned.replaced, again.planned.answered, changes, first, [], notes)


def _files(before: Mapping[str, Commit], after: Mapping[str, Commit]) -> list[str]:
    lines = []
    for vertex in (*before, *(one for one in after if one not in before)):
        old, new = ((side[vertex].generated if vertex in side else {}) for side in (before, after))
        for slot in dict.fromkeys((*old, *new)):
            was, now = (side[slot].artifact[:19] + "…" if slot in side else "not there" for side in (old, new))
            if was != now:
                lines.append(f"{vertex}: generated file {slot} was {was}, now {now}")
    return lines


def _own_servers(settings: Settings, name: str, keep: bool) -> AbstractContextManager[Settings]:
    return servers_of_data(settings)
