"""Runs prepared cases under one lease, one after another, and tells what comes of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import msgspec

from thalweg.artifacts import Store
from thalweg.bus import deployments
from thalweg.bus.holds import Hold, holds_bucket, place_hold
from thalweg.client.runs import dead_letters, follow, read_commits
from thalweg.errors import RejectedError, RunFailedError
from thalweg.replay.feeding import COMPONENT
from thalweg.replay.ordering import in_recorded_order
from thalweg.runtime.tasks import end_tasks
from thalweg.testing.checks import Verdict
from thalweg.testing.expectations import Assertion, Fault, Outcome, port_count, watched_ports
from thalweg.testing.updating import UpdatedGolden
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec
from thalweg_cli.deploying import deploy, spec_of_plan
from thalweg_cli.keeping import record_outputs
from thalweg_cli.leased import LEFT_TTL_S, Place
from thalweg_cli.testing.collecting import Collector, Port
from thalweg_cli.testing.events import CaseFinished, CaseStarted, Listener, State, VertexProgress, judged
from thalweg_cli.testing.prepare import Prepared
from thalweg_cli.testing.pushing import push

HOLDER = "test"
KEPT_MESSAGES = 1 << 20  # of a subject whose log is left whole
PROGRESS_S = 0.5


@dataclass(frozen=True, slots=True)
class Totals:
    """How many cases passed, failed, and had a run that failed."""

    passed: int
    failed: int
    errors: int

    @property
    def exit_code(self) -> int:
        """0, or that of the worst outcome."""
        return RunFailedError.exit_code if self.errors else 5 if self.failed else 0


async def run_cases(place: Place, prepared: Sequence[Prepared], tell: Listener, *, leave: bool) -> Totals:
    """Runs every case; one that fails does not keep the others from being run.

    Args:
        place: servers and lease.
        prepared: what to run.
        tell: told what happens.
        leave: leave the deployments as they are, with all that was ever on their logs.

    Raises:
        UnreachableError: a server does not answer.
    """
    await holds_bucket(place.client, place.settings.workspace).ensure()
    outcomes = [await _Run(place, one, f"{place.lease}-{number}", tell, leave).run() for number, one in enumerate(prepared, 1)]
    return Totals(outcomes.count("passed"), outcomes.count("failed"), outcomes.count("error"))


class _Run:
    """One case, running."""

    def __init__(self, place: Place, prepared: Prepared, name: str, tell: Listener, leave: bool) -> None:
        self.place, self.prepared, self.name, self.tell, self.leave = place, prepared, name, tell, leave
        self.case = prepared.case
        self.store = Store.of(place.settings, place.lease)
        self.ended: Mapping[str, Commit] | None = None
        self.told: dict[str, VertexProgress] = {}
        self.told_at = 0.0

    async def run(self) -> str:
        """Its outcome, which is told."""
        started = time.monotonic()
        spec: DeploymentSpec | None = None
        error: RunFailedError | None = None
        is_met = False
        try:
            spec = await self.deployed()
            self.tell(CaseStarted(case=self.case.name, deployment=self.name, vertices=[one.name for one in spec.vertices]))
            is_met = await self.judge(spec, await self.outcome(spec))
        except RunFailedError as failed:
            error = failed
        finally:
            for one in self.prepared.assertions:
                if isinstance(one.check, UpdatedGolden):
                    one.check.drop()
        if spec is not None and not self.leave:
            await self.discard(spec)
        outcome = "error" if error is not None else "passed" if is_met else "failed"
        event = CaseFinished(case=self.case.name, outcome=outcome, seconds=round(time.monotonic() - started, 3))
        if error is not None:
            event = event.model_copy(update={"code": error.code, "message": str(error), "hint": error.hint})
        self.tell(event)
        return outcome

    async def deployed(self) -> DeploymentSpec:
        spec = await spec_of_plan(self.place, self.store, self.prepared.plan, self.name, lambda name: None)
        if self.leave:
            spec = msgspec.structs.replace(spec, max_messages_per_subject=KEPT_MESSAGES)
        ends = {name: len(bodies) for name, bodies in self.prepared.pushes.items()}
        vertices = [msgspec.structs.replace(one, stop_after=ends.get(one.name, one.stop_after)) for one in spec.vertices]
        given = [one.files["replay"] for one in vertices if one.component.partition("@")[0] == COMPONENT]
        if self.prepared.recorded is not None and given:
            vertices, _ = in_recorded_order(vertices, self.prepared.recorded.ran, given[0])
        return msgspec.structs.replace(spec, vertices=vertices)

    async def outcome(self, spec: DeploymentSpec) -> Outcome:
        """What the run has left.

        Raises:
            RunFailedError: it failed though it must not, or took too long (`test.timeout`).
        """
        client, workspace = self.place.client, self.place.settings.workspace
        if self.leave:
            await place_hold(client, workspace, self.name, "left", 1, LEFT_TTL_S)
        is_watched = any(True for _ in watched_ports(self.prepared.assertions))
        async with Hold(client, workspace, self.name, HOLDER, 1) if is_watched else nullcontext() as hold:
            try:
                async with asyncio.timeout(self.case.timeout):
                    await deploy(client, spec, self.prepared.plan)
                    commits = await self.follow(spec, hold)
            except TimeoutError:
                raise self.late(await read_commits(client, spec)) from None
            except RunFailedError as error:
                if self.case.must_fail() is None:
                    raise
                commits = await read_commits(client, spec)
                return Outcome(commits, self.store.fetch, _fault(spec, commits, error))
        missing = next(((name, slot) for name, one in commits.items() for slot in one.missing), None)
        if missing is not None:
            raise RunFailedError(f"{missing[0]}: the component left no file in slot {missing[1]}", code="generated.missing")
        return Outcome(commits, self.store.fetch)

    async def follow(self, spec: DeploymentSpec, hold: Hold | None) -> dict[str, Commit]:
        """The last commits, once the run is over and the records of watched ports were read."""
        client, ports = self.place.client, list(watched_ports(self.prepared.assertions))
        checks = {port: [one.check for one in self.prepared.assertions if one.port == port and one.check is not None] for port in ports}
        collector = Collector(client, spec, checks, hold)
        work = (self.until_ended(spec), collector.read(lambda: self.expected(ports)), push(client, spec, self.prepared.pushes))
        tasks = [asyncio.ensure_future(one) for one in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            await end_tasks(*tasks)
        return dict(self.ended or {})

    async def until_ended(self, spec: DeploymentSpec) -> None:
        self.ended = await follow(self.place.client, spec, self.progress)

    def expected(self, ports: list[Port]) -> dict[Port, int] | None:
        return None if self.ended is None else {port: port_count(self.ended, port) for port in ports}

    def progress(self, commits: Mapping[str, Commit]) -> None:
        now = time.monotonic()
        if now - self.told_at < PROGRESS_S and not all(one.ended for one in commits.values()):
            return
        self.told_at = now
        for name in (name for one in self.prepared.plan.vertices for name in one.parts if name in commits):
            commit = commits[name]
            state: State = "failed" if commit.failure is not None else "ended" if commit.ended else "running"
            counters = commit.counters
            event = VertexProgress(
                case=self.case.name, vertex=name, state=state, records_in=counters.records_in, records_out=counters.records_out
            )
            if self.told.get(name) != event:
                self.told[name] = event
                self.tell(event)

    def late(self, commits: Mapping[str, Commit]) -> RunFailedError:
        parts = [name for one in self.prepared.plan.vertices for name in one.parts]
        names = [name for name in parts if name not in commits or not commits[name].ended]
        what = f"it is not over after {self.case.timeout:g} s: {', '.join(names) or 'records'} did not come to an end"
        return RunFailedError(what, code="test.timeout", hint="timeout: gives a case more time; a source that never ends can be replaced")

    async def judge(self, spec: DeploymentSpec, outcome: Outcome) -> bool:
        """Whether all that was expected is so; each verdict is told."""
        if self.leave:  # so that `file get` finds what it has generated
            await record_outputs(self.place.client, spec, dict(outcome.commits))
        met = []
        for one in self.prepared.assertions:
            verdict = await self.verdict(spec, one, outcome)
            self.tell(judged(self.case.name, one.key, one.label, verdict))
            met.append(verdict.is_met)
        return all(met)

    async def verdict(self, spec: DeploymentSpec, one: Assertion, outcome: Outcome) -> Verdict:
        try:
            found = await asyncio.to_thread(one.judge, outcome)
        except RejectedError as error:
            return Verdict(False, str(error))
        if one.counts_dead is None or found.is_met:
            return found
        only = msgspec.structs.replace(spec, vertices=[vertex for vertex in spec.vertices if vertex.name == one.counts_dead])
        letters = await dead_letters(self.place.client, only, 1)
        return Verdict(False, f"{found.reason}; the first: {letters[0]['where']}: {letters[0]['error']}") if letters else found

    async def discard(self, spec: DeploymentSpec) -> None:
        """Says that the deployment is to end at once; the coordinator brings that about, at the latest with the lease."""
        await deployments.store_deployment(self.place.client, msgspec.structs.replace(spec, desired="discarding"))


def _fault(spec: DeploymentSpec, commits: Mapping[str, Commit], error: RunFailedError) -> Fault:
    """Which vertex it was that failed."""
    failed = [one.name for one in spec.vertices if (commit := commits.get(one.name)) is not None and commit.failure is not None]
    return Fault(failed[0] if failed else spec.name, error.code, str(error))
