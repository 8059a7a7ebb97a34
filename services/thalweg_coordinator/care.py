"""Takes care of one deployment: its log exists, its vertices run, what nobody needs is trimmed, what is to end ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from thalweg.access.access import Access
from thalweg.bus import deployments
from thalweg.bus.connection import Client
from thalweg.bus.heads import StoredMessage, latest_commits
from thalweg.bus.holds import held_from
from thalweg.bus.retiring import retire
from thalweg.bus.stalls import find_stall
from thalweg.bus.vertex_log import VertexLog
from thalweg.bus.watch import LogWatch, Look
from thalweg.errors import RejectedError
from thalweg.runtime.loop import refuse
from thalweg.wire.commit import Commit, Failure
from thalweg.wire.partitions import formers_of
from thalweg.wire.spec import DeploymentSpec, VertexSpec, has_ended
from thalweg.wire.subjects import parse_port
from thalweg_coordinator.asked import Asked
from thalweg_coordinator.capturing import Capturing
from thalweg_coordinator.last_words import publish_last_words
from thalweg_coordinator.launching import Launcher, Start
from thalweg_coordinator.restarts import CRASHES_BEFORE_GIVING_UP, Attempts, Lives, count_deaths, decide_restart, describe_exit
from thalweg_coordinator.settled import SettledLetters
from thalweg_coordinator.teardown import Teardown
from thalweg_coordinator.trims import Trims

STARTS_AT_ONCE = 4  # fewer than there are threads, which other deployments need, too
STALL_S = 10.0  # nobody has committed anything for so long, before a stall is looked for
_log = logging.getLogger("thalweg.coordinator")
Codes = dict[str, int | None]
Admit = Callable[[DeploymentSpec, VertexSpec], Access | None]
Reveal = Callable[[Mapping[str, str], str], Awaitable[dict[str, str]]]


class Care:
    """What the coordinator remembers of one deployment; made anew by a coordinator that takes over.

    Args:
        client: NATS connection.
        launcher: starts and ends its vertices.
        workspace, name: which deployment.
        reveal: values of secrets by slot, given their names by slot and the lease that owns the deployment.
        admit: what NATS lets a vertex in by.
        capturing: keeps its capture running.
        teardown: saves what it leaves, then removes it; None for a coordinator that saves nothing.
    """

    def __init__(
        self,
        client: Client,
        launcher: Launcher,
        workspace: str,
        name: str,
        reveal: Reveal,
        admit: Admit,
        capturing: Capturing,
        teardown: Teardown | None = None,
    ) -> None:
        self._client, self._launcher, self._name = client, launcher, name
        self._reveal, self._admit, self._capturing, self._teardown = reveal, admit, capturing, teardown
        self._watch = LogWatch(client, workspace, name)
        self._log_created = ""
        self._attempts: dict[str, Attempts] = {}
        self._lives: dict[str, Lives] = {}  # of those that something else starts again
        self._asked = Asked()
        self._purged: set[tuple[str, int]] = set()
        self._trims = Trims(client)
        self._settled = SettledLetters(client)
        self._silence: tuple[int, float] = (0, 0.0)  # the last sequence of the log, and since when

    async def step(self, spec: DeploymentSpec) -> None:
        """Does what the deployment needs now; harmless when it is broken off or repeated."""
        if spec.desired == "stopped":
            await self.stop()
            return
        if spec.desired == "discarding":
            await self._discard(spec)
            return
        # Before the log is looked at: the last commit of a vertex that has ended is on it then.
        codes = {vertex: self._launcher.exit_code(self._name, vertex) for vertex in self._launcher.vertices(self._name)}
        look = await self._watch.look() or await self._make_log(spec)
        if look is None:
            return
        if look.created != self._log_created:
            self._log_created, self._silence = look.created, (0, 0.0)
            self._attempts.clear()
            self._lives.clear()
            self._settled.forget()
            self._trims = Trims(self._client)
        commits = latest_commits(look.heads)
        await self._capturing.keep(spec, is_fresh=look.last_sequence == 0)
        if spec.has_failed(commits):
            await self._stop_vertices()
            await self._tear_down_if_draining(spec, commits)
            return
        is_clean = await self._remove_vertices(spec, codes, look.heads)
        await self._keep_all_running(spec, codes, commits)
        await self._trims.trim(spec, look)
        await self._settled.remove(spec, commits)
        if any(commit.waits_for is not None for commit in commits.values()):
            await self._fail_if_stalled(spec, look)
        if is_clean and spec.has_ended(commits):
            await self._tear_down_if_draining(spec, commits)

    async def stop(self) -> None:
        """Ends the vertices, and the capture."""
        await asyncio.to_thread(self._capturing.stop)
        await self._stop_vertices()

    async def _stop_vertices(self) -> None:
        self._attempts.clear()
        self._lives.clear()
        self._asked.clear()
        if self._name in self._launcher.deployments():
            await asyncio.to_thread(self._launcher.stop, self._name)

    async def forget(self) -> None:
        """Ends the vertices of a deployment that is gone, and removes what they kept."""
        await self.stop()
        await asyncio.to_thread(self._launcher.clear, self._name)

    async def _discard(self, spec: DeploymentSpec) -> None:
        await self.stop()
        if self._teardown is None:
            await deployments.delete_deployment(self._client, spec.workspace, spec.name)
            return
        look = await self._watch.look()
        await self._teardown.discard(spec, latest_commits(look.heads) if look is not None else {})

    async def _tear_down_if_draining(self, spec: DeploymentSpec, commits: dict[str, Commit]) -> None:
        if spec.desired == "draining" and self._teardown is not None:
            await self._teardown.finish(spec, commits)

    async def _make_log(self, spec: DeploymentSpec) -> Look | None:
        """Makes the log; vertices that still run belong to a former one of that name. None when the deployment is gone too."""
        await self.stop()
        await deployments.create_log(self._client, spec)
        try:
            await deployments.load_deployment(self._client, spec.workspace, spec.name)
        except RejectedError:
            await deployments.delete_log(self._client, spec.workspace, spec.name)
            return None
        look = await self._watch.look()
        if look is not None and look.last_sequence == 0:
            await asyncio.to_thread(self._launcher.clear, self._name)
        return look

    async def _remove_vertices(self, spec: DeploymentSpec, codes: Codes, heads: list[StoredMessage]) -> bool:
        """Ends vertices that a redeploy has taken away, then purges what they wrote; whether none is left."""
        kept = {one.name for one in spec.vertices}
        written = {place[0] for head in heads if (place := parse_port(head.subject)) is not None}
        gone = {one for one in ({*codes} | written) - kept if one in codes or (one, spec.generation) not in self._purged}
        for vertex in sorted(gone):
            if vertex in codes and codes[vertex] is None:
                await self._end(vertex)
                continue
            await asyncio.to_thread(self._launcher.forget, self._name, vertex)
            if await self._is_held(spec, vertex, heads):
                continue
            await deployments.purge_vertex(self._client, spec.workspace, spec.name, vertex)
            await asyncio.to_thread(self._launcher.clear, self._name, vertex)
            self._purged.add((vertex, spec.generation))
        return not gone

    async def _is_held(self, spec: DeploymentSpec, vertex: str, heads: list[StoredMessage]) -> bool:
        """Whether somebody has yet to read what a vertex has written."""
        held = await held_from(self._client, spec.workspace, spec.name)
        return held is not None and any(head.sequence >= held for head in heads if (parse_port(head.subject) or ("",))[0] == vertex)

    async def _end(self, vertex: str) -> None:
        if self._launcher.is_kept:
            await asyncio.to_thread(self._launcher.forget, self._name, vertex)
        else:
            await self._ask(vertex)

    async def _ask(self, vertex: str) -> None:
        life = await asyncio.to_thread(self._launcher.signal, self._name, vertex, 0)
        if life is not None and (number := self._asked.decide(vertex, life, time.monotonic())) is not None:
            await asyncio.to_thread(self._launcher.signal, self._name, vertex, number)

    async def _keep_all_running(self, spec: DeploymentSpec, codes: Codes, commits: dict[str, Commit]) -> None:
        """A few at a time: to start a container takes up to a second. All have been seen to before an error of one of them is raised."""
        turns = asyncio.Semaphore(STARTS_AT_ONCE)

        async def keep(vertex: VertexSpec) -> None:
            async with turns:
                await self._keep_running(spec, vertex, codes, commits.get(vertex.name))

        for outcome in await asyncio.gather(*map(keep, spec.vertices), return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def _keep_running(self, spec: DeploymentSpec, vertex: VertexSpec, codes: Codes, commit: Commit | None) -> None:
        if vertex.retired:
            await self._end_retired(spec, vertex, codes, commit)
            return
        is_over = has_ended(vertex, commit)
        if is_over and not (self._launcher.is_kept and vertex.name in self._launcher.vertices(self._name)):
            return
        if not is_over and self._are_running(formers_of(spec, vertex), codes):
            return  # what they have in hand is still committed by them: a target outside need not be given it twice
        if not self._launcher.knows(self._name, vertex.name):  # or its credentials are to be renewed, while it waits to be redeployed, too
            await self._start(spec, vertex)
            return
        if is_over:
            return
        if self._launcher.is_kept:
            await self._watch_kept(spec, vertex, commit)
            return
        code = codes.get(vertex.name)
        is_former = self._launcher.generation(self._name, vertex.name) < vertex.generation
        if code is None:
            is_asked_for = spec.desired == "draining" and not vertex.inputs and not self._launcher.drains(self._name, vertex.name)
            if is_former or is_asked_for:
                await self._ask(vertex.name)
        elif is_former:
            self._attempts.pop(vertex.name, None)
            await self._start(spec, vertex)
        else:
            await self._restart(spec, vertex, code, commit)

    @staticmethod
    def _are_running(generations: list[list[VertexSpec]], codes: Codes) -> bool:
        return any(one.name in codes and codes[one.name] is None for formers in generations for one in formers)

    async def _end_retired(self, spec: DeploymentSpec, vertex: VertexSpec, codes: Codes, commit: Commit | None) -> None:
        """What it wrote stays: its readers may need it, and its last commit says how far it came."""
        name = vertex.name
        if name in codes and codes[name] is None:
            await self._end(name)
            return
        if commit is None or not (commit.ended or commit.retired >= vertex.retired):
            await retire(self._client, spec, vertex)  # those that need it may not write there, with credentials of their own
        if name in codes:
            await asyncio.to_thread(self._launcher.forget, self._name, name)
            await asyncio.to_thread(self._launcher.clear, self._name, name)

    async def _start(self, spec: DeploymentSpec, vertex: VertexSpec) -> None:
        """Starts a vertex with the secrets that are bound to it, and credentials; one whose secrets cannot be had says so on the log."""
        access = await asyncio.to_thread(self._admit, spec, vertex)
        try:
            secrets = await self._reveal(vertex.secrets, spec.lease) if vertex.secrets else {}
        except RejectedError as error:
            await self._refuse(spec, vertex.name, Failure(f"{vertex.name}: {error}", error.code, error.hint))
            return
        drains, keeps_files = spec.desired == "draining", bool(vertex.generated)
        what = Start(self._name, vertex.name, vertex.generation, drains, secrets, access, vertex.needs_store, keeps_files)
        try:
            await asyncio.to_thread(self._launcher.start, what)
        except RejectedError as error:
            await self._refuse(spec, vertex.name, Failure(f"{vertex.name}: it cannot be started: {error}", error.code, error.hint))

    async def _restart(self, spec: DeploymentSpec, vertex: VertexSpec, code: int, commit: Commit | None) -> None:
        name, attempts = vertex.name, self._attempts.get(vertex.name, Attempts())
        if attempts.not_before is None:
            attempts = self._attempts[name] = decide_restart(attempts, code, commit, time.monotonic())
            _log.warning("%s/%s %s; restart %d", self._name, name, describe_exit(code), attempts.crashes)
            await self._say_last_words(spec, vertex, f"{describe_exit(code)}; restart {attempts.crashes}")
        if attempts.is_hopeless:
            await self._give_up(spec, vertex, code)
        elif attempts.not_before is not None and time.monotonic() >= attempts.not_before:
            self._attempts[name] = Attempts(attempts.crashes, attempts.progress)
            await self._start(spec, vertex)

    async def _watch_kept(self, spec: DeploymentSpec, vertex: VertexSpec, commit: Commit | None) -> None:
        """Gives up a vertex that something else starts again, and that dies each time."""
        known, former = self._launcher.restarts(self._name, vertex.name), self._lives.get(vertex.name)
        lives = self._lives[vertex.name] = count_deaths(former, known, commit, vertex.generation, time.monotonic())
        if former is not None and lives.crashes > former.crashes:
            _log.warning("%s/%s was started again without having got further; crash %d", self._name, vertex.name, lives.crashes)
        if lives.is_hopeless:
            await self._give_up(spec, vertex, known.code if known is not None else None)

    async def _say_last_words(self, spec: DeploymentSpec, vertex: VertexSpec, what: str) -> None:
        """Puts what a process that died could not send itself into its log records; never worth a failure."""
        tail = await asyncio.to_thread(self._launcher.log_tail, self._name, vertex.name)
        with suppress(Exception):
            secrets = await self._reveal(vertex.secrets, spec.lease) if vertex.secrets else {}
            await publish_last_words(self._client, spec, vertex, what, tail, secrets.values())

    async def _give_up(self, spec: DeploymentSpec, vertex: VertexSpec, code: int | None) -> None:
        said = f"{vertex.name}: died {CRASHES_BEFORE_GIVING_UP} times without getting further"
        said += f": {describe_exit(code)}" if code is not None else ""
        tail = await asyncio.to_thread(self._launcher.log_tail, self._name, vertex.name)
        lines = [said, *(f"  {line}" for line in tail)]
        _log.error("%s/%s crashes again and again", self._name, vertex.name)
        await self._refuse(spec, vertex.name, Failure("\n".join(lines), "vertex.crash_loop"))

    async def _fail_if_stalled(self, spec: DeploymentSpec, look: Look) -> None:
        if look.last_sequence != self._silence[0]:
            self._silence = (look.last_sequence, time.monotonic())
        if time.monotonic() - self._silence[1] < STALL_S:
            return
        self._silence = (look.last_sequence, time.monotonic())  # if it is none, it is looked at again after as long
        stall = find_stall(spec, look.heads, await deployments.count_messages(self._client, spec.workspace, spec.name))
        if stall is not None:
            failure = stall.failure()
            _log.error("%s/%s", self._name, failure.message)
            await self._refuse(spec, stall.vertex, failure)

    async def _refuse(self, spec: DeploymentSpec, vertex: str, failure: Failure) -> None:
        generation = next((one.generation for one in spec.vertices if one.name == vertex), 1)
        log = VertexLog(self._client, spec.workspace, spec.name, vertex, [], in_arrival_order=False)
        await refuse(log, failure, generation)
