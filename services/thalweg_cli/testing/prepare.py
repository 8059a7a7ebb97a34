"""Prepares the cases of a manifest: everything that can be wrong with them is told before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from thalweg.artifacts.content.bound import check_bound
from thalweg.errors import RejectedError
from thalweg.graph.draft import check_draft, read_draft
from thalweg.graph.pipeline import Pipeline, fault_lines, load_pipeline
from thalweg.graph.plan import Plan
from thalweg.graph.releases import Releases
from thalweg.graph.types import format_type
from thalweg.replay.feeding import ANSWERS, FedReleases
from thalweg.replay.feeds import types_of_vertices
from thalweg.replay.reader import Replay
from thalweg.replay.standing_in import StandIns, Wishes, plan_stand_ins
from thalweg.testing.arranging import Misfit, arrange
from thalweg.testing.expectations import Assertion, assertions_of
from thalweg.testing.manifest import Case, Manifest
from thalweg.testing.recorded import is_replay
from thalweg.wire.spec import DeploymentSpec
from thalweg_cli.testing.pushing import Pushes, pushes_of

Stored = Callable[[str, int | None], dict[str, Any]]
"""The content of a stored backend's pipeline file, at a revision or the newest. Blocking."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A replay that stands for ports of a case, and what ran."""

    replay: Replay
    ran: DeploymentSpec


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case that can be run: its plan has no faults."""

    case: Case
    plan: Plan
    assertions: list[Assertion]
    pushes: Pushes
    recorded: Recorded | None = None


def component_paths(manifest: Manifest, path: Path) -> list[Path]:
    """Where the releases are that a manifest tries.

    Raises:
        RejectedError: `manifest.invalid`, one of the places is not there.
    """
    found = [path.parent / text for text in manifest.components]
    lines = [
        f"{path}: components.{index}: {manifest.components[index]} is not there" for index, one in enumerate(found) if not one.exists()
    ]
    if lines:
        raise RejectedError("\n".join(lines), code="manifest.invalid")
    return found


def prepare(
    path: Path, manifest: Manifest, cases: list[Case], releases: Releases, tried: Collection[str], stored: Stored, *, update: bool
) -> list[Prepared]:
    """The cases, ready to run. Blocking.

    Args:
        path: of the manifest; what is in it is relative to its folder.
        manifest: what it says.
        cases: those of its cases that are wanted.
        releases: where components are found.
        tried: releases that the manifest brings along, as `name@version`.
        stored: looks up a stored backend.
        update: golden files that are missing or differ are written.

    Raises:
        RejectedError: `manifest.invalid`, or that of the pipeline; one line or more for each fault, with its path in the file.
    """
    preparing = _Preparing(path, manifest, releases, tried, update)
    pipeline, base = preparing.graph(stored)
    found = [preparing.case(pipeline, base, one) for one in cases]
    if preparing.lines:
        raise RejectedError("\n".join(preparing.lines), code="manifest.invalid")
    return [one for one in found if one is not None]


class _Preparing:
    def __init__(self, path: Path, manifest: Manifest, releases: Releases, tried: Collection[str], update: bool) -> None:
        self.path, self.folder, self.manifest = path, path.resolve().parent, manifest
        self.releases, self.tried, self.update = releases, tried, update
        self.lines: list[str] = []
        self.told: set[str] = set()

    def graph(self, stored: Stored) -> tuple[Pipeline, Path]:
        """The pipeline, and the folder that its own paths are relative to."""
        given = self.manifest.pipeline
        if isinstance(given, str):
            file = self.folder / given
            if not file.is_file():
                raise RejectedError(
                    f"{self.path}: pipeline: {given} is not there", code="manifest.invalid", hint=f"looked in {self.folder}"
                )
            return load_pipeline(file), file.resolve().parent
        if self.manifest.backend is not None:
            return Pipeline.model_validate(stored(self.manifest.backend, self.manifest.revision)), self.folder
        try:
            return Pipeline.model_validate(given), self.folder
        except ValidationError as error:
            lines = [f"{self.path}: pipeline.{line}" for line in fault_lines(error)]
            raise RejectedError("\n".join(lines), code="manifest.invalid") from error

    def case(self, pipeline: Pipeline, base: Path, case: Case) -> Prepared | None:
        """A case, unless it has faults, which are told."""
        place = f"cases.{self.manifest.cases.index(case)}"
        use = {**self.manifest.use, **case.use}
        try:
            recorded = self.recorded(case)
            stand_ins = self.stand_ins(pipeline, case, use, recorded)
        except RejectedError as error:
            self.tell(f"{place}.replay: {error}")
            return None
        arranged = arrange(pipeline, case, use, self.folder, self.types(pipeline, base, case, use), self.tried, stand_ins)
        for one in arranged.misfits:
            self.misfit(place, one)
        if arranged.misfits:
            return None
        releases = self.releases if recorded is None else FedReleases(self.releases, types_of_vertices(recorded.ran), (ANSWERS,))
        plan = check_draft(read_draft(arranged.content, "pipeline"), releases, base, check_bound)
        for fault in plan.faults:
            self.tell(f"{place}: {fault}", str(fault))
        if plan.faults:
            return None
        assertions, misfits = assertions_of(case.expect, plan, self.folder, update=self.update, fetch=_fetch)
        pushes, wrong = pushes_of(case, plan, self.folder)
        for one in [*misfits, *wrong]:
            self.misfit(place, one)
        return None if misfits or wrong else Prepared(case, plan, assertions, pushes, recorded)

    def recorded(self, case: Case) -> Recorded | None:
        """The one replay that its records come from; None where there is none, or several, or it is told elsewhere that it cannot be.

        Raises:
            RejectedError: `replay.unreadable`.
        """
        texts = {case.replay} if case.replay is not None else {one.file for one in case.replace.values()}
        found = [self.folder / text for text in texts if is_replay(text)]
        if len(found) != 1 or not found[0].is_file():
            return None
        replay = Replay(found[0])
        return Recorded(replay, replay.spec) if replay.spec is not None else None

    def stand_ins(self, pipeline: Pipeline, case: Case, use: dict[str, str], recorded: Recorded | None) -> StandIns | None:
        """Which vertices a case's replay stands in for, beside the sources."""
        if case.replay is None or recorded is None:
            return None
        plain = case.model_copy(update={"replay": None, "replace": {}})
        content = arrange(pipeline, plain, use, self.folder, {}, self.tried).content
        return plan_stand_ins(content, recorded.replay, recorded.ran, Wishes(live=case.live, tried=self.tried), self.releases)

    def types(self, pipeline: Pipeline, base: Path, case: Case, use: dict[str, str]) -> dict[str, str]:
        """What the ports of the graph emit where nothing is replaced, as far as that can be told."""
        if not case.replace:
            return {}
        whole = arrange(pipeline, case.model_copy(update={"replace": {}}), use, self.folder, {}, self.tried)
        plan = check_draft(read_draft(whole.content, "pipeline"), self.releases, base)
        return {f"{one.name}.{port}": format_type(kind) for one in plan.vertices for port, kind in one.outputs.items()}

    def misfit(self, place: str, one: Misfit) -> None:
        self.tell(f"{place}.{one.key}: {one.message}" + (f"\n  hint: {one.hint}" if one.hint else ""))

    def tell(self, text: str, same: str | None = None) -> None:
        """Tells a fault; one of the pipeline, which each case has, once."""
        if same is None or same not in self.told:
            self.lines.append(f"{self.path}: {text}")
        if same is not None:
            self.told.add(same)


def _fetch(artifact: str) -> Path:
    from thalweg_cli.bindings import open_store

    return Path(open_store().fetch(artifact, "golden.mcap"))
