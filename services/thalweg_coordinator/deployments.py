"""Answers calls about deployments and their evidence: writes what is desired, which the leading coordinator brings about."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from thalweg.api import deployments as api
from thalweg.api import evidence as evidence_api
from thalweg.api.calls import Call, Nothing
from thalweg.api.leases import check_owner, check_visible
from thalweg.bus import deployments as stored
from thalweg.bus.connection import Client, replicas_of
from thalweg.bus.heads import latest_commits, read_heads
from thalweg.errors import RejectedError
from thalweg.graph.plan import Inspect, faults_error
from thalweg.graph.releases import Releases
from thalweg.graph.status import Status, status_of
from thalweg.launching import LauncherName
from thalweg.replay.feeds import open_feed
from thalweg.wire.capturing import check_capture
from thalweg.wire.commit import Commit
from thalweg.wire.planned import bound_artifact, expectations_of, spec_of, split
from thalweg.wire.spec import DeploymentSpec, FileSpec, VertexSpec
from thalweg_coordinator.api import Handler
from thalweg_coordinator.artifacts import LocateFor
from thalweg_coordinator.endpoints import Endpoints
from thalweg_coordinator.launchers import Launchers
from thalweg_coordinator.logs_of_backends import LogsOfBackends
from thalweg_coordinator.looks import Looks
from thalweg_coordinator.past import read_cut, read_facts
from thalweg_coordinator.redeploying import plan_redeploy
from thalweg_coordinator.repartitioning import check_changes, renumber
from thalweg_coordinator.replacing import replace_sources
from thalweg_coordinator.reprocessing import Going, choose_vertices, plan_rewinds
from thalweg_coordinator.secrets import Secrets
from thalweg_coordinator.teardown import Records

TRIES = 20
RESERVED = frozenset({"api", "ops", "log"})  # tokens of other subjects of a workspace


class Deployments:
    """Handlers by call.

    Args:
        client: NATS connection.
        workspace: whose deployments.
        logs: the operation logs of backends.
        releases, inspect: as for `thalweg.graph.status.status_of`.
        locate_for: files as the owner of a deployment sees them.
        secrets: those that may be bound.
        endpoints: of what is deployed.
        key: public key that signs evidence.
        looks: says how a deployment stands.
        launchers: those that there are.
    """

    def __init__(
        self,
        client: Client,
        workspace: str,
        logs: LogsOfBackends,
        releases: Releases,
        inspect: Inspect,
        locate_for: LocateFor,
        secrets: Secrets,
        endpoints: Endpoints,
        key: str,
        looks: Looks,
        launchers: Launchers,
    ) -> None:
        self._looks, self._launchers = looks, launchers
        self._client, self._workspace, self._logs = client, workspace, logs
        self._releases, self._inspect, self._locate_for, self._key = releases, inspect, locate_for, key
        self._records = Records(client, workspace)
        self._secrets, self._endpoints = secrets, endpoints

    def handlers(self) -> dict[Call[Any, Any], Handler]:
        """By call of `thalweg.api.deployments` and `thalweg.api.evidence`."""
        return {
            api.DEPLOY: self.deploy,
            api.REDEPLOY: self.redeploy,
            api.UNDEPLOY: self.undeploy,
            api.STATUS: self.status,
            api.REPORT: self.report,
            evidence_api.LIST: self.list_evidence,
            evidence_api.SHOW: self.show_evidence,
            evidence_api.KEY: self.key,
        }

    async def deploy(self, asked: api.Deploy) -> api.Deployed:
        """Stores a new deployment; the name must be free."""
        name = asked.name or asked.backend
        if name in RESERVED:
            raise RejectedError(f"a deployment cannot be called {name}", code="name.reserved", hint="--name gives it another name")
        launcher = asked.launcher or self._launchers.usual
        await asyncio.to_thread(self._launchers.of, launcher)  # refused here where it could start nothing
        spec = await self._replaced(await self._spec(asked.backend, asked.revision, asked.owner, launcher), asked.replaced)
        kept = {"keep_messages": asked.keep_messages, "keep_s": asked.keep_s}
        fields = ("capture", "capture_last_s", "capture_max_bytes", "capture_on")
        captured = {field: getattr(asked, field) for field in fields}
        spec = msgspec.structs.replace(spec, name=name, deployed_ns=time.time_ns(), **captured, **kept)
        check_capture(spec.capture, {one.name: one.outputs for one in spec.vertices})
        try:
            await stored.store_deployment(self._client, spec, expected=0)
        except stored.StaleSpecError:
            hint = f"`thalweg redeploy {name}` changes it, `--name` runs another one beside it"
            raise RejectedError(f"there is a deployment {name} already", code="deployment.exists", hint=hint) from None
        await self._endpoints.note_deployed(spec)
        return _deployed(spec)

    async def redeploy(self, asked: api.Redeploy) -> api.Deployed:
        """Stores the next generation of a deployment; where nothing changes, nothing is stored."""
        for _ in range(TRIES):
            old, revision = await stored.read_deployment(self._client, self._workspace, asked.name)
            check_owner("deployment", old.name, old.lease, asked.owner)
            _refuse_unless_running(old)
            new = await self._replaced(await self._spec(old.backend, asked.revision, old.lease, old.launcher), asked.replaced)
            commits = latest_commits(await read_heads(self._client, self._workspace, asked.name))
            new, repartitioned = renumber(old, new)
            cut = await read_cut(self._client, old, [port for one in repartitioned for port in one.ports(old)])
            check_changes(old, new, repartitioned, commits, cut, goes_back=asked.start is not None)
            spec, changes = plan_redeploy(old, new, commits, await self._goings(asked, old, new, commits), repartitioned)
            if (spec.revision, spec.graph_digest) == (old.revision, old.graph_digest) and all(
                one.action == "keeps running" for one in changes
            ):
                return _deployed(old, changes)
            try:
                await stored.store_deployment(self._client, spec, expected=revision)
            except stored.StaleSpecError:
                continue
            await self._endpoints.note_deployed(spec)
            return _deployed(spec, changes)
        raise _busy(asked.name)

    async def _goings(self, asked: api.Redeploy, old: DeploymentSpec, new: DeploymentSpec, commits: dict[str, Commit]) -> dict[str, Going]:
        """How vertices go back, where that is asked for."""
        if asked.start is None:
            if asked.vertices:
                raise RejectedError(
                    "vertices are named, but no position to go back to", code="request.invalid", hint="--from TIME|#POSITION"
                )
            return {}
        new = msgspec.structs.replace(new, name=old.name)
        chosen = choose_vertices(old, new, commits, asked.vertices)
        return plan_rewinds(old, new, commits, chosen, await read_facts(self._client, new, asked.start, chosen))

    async def undeploy(self, asked: api.Undeploy) -> api.Undeploying:
        """Says that a deployment is to end. A discard overrides a drain; else, what has begun goes on."""
        for _ in range(TRIES):
            spec, revision = await stored.read_deployment(self._client, self._workspace, asked.name)
            check_owner("deployment", spec.name, spec.lease, asked.owner)
            desired = "discarding" if asked.discard or spec.desired == "discarding" else "draining"
            try:
                if desired != spec.desired:
                    await stored.store_deployment(self._client, msgspec.structs.replace(spec, desired=desired), expected=revision)
            except stored.StaleSpecError:
                continue
            return api.Undeploying(name=spec.name, deployed_ns=spec.deployed_ns)
        raise _busy(asked.name)

    async def status(self, asked: api.MaybeNamed) -> api.Statuses:
        """Of one deployment, or of all that there are; of one that is gone, its teardown's report."""
        if asked.name is None:
            names = await stored.list_deployments(self._client, self._workspace)
            found = await asyncio.gather(*(self._status(name) for name in names), return_exceptions=True)
            return api.Statuses(deployments=[one for one in found if isinstance(one, api.DeploymentStatus)])
        try:
            return api.Statuses(deployments=[await self._status(asked.name)])
        except RejectedError as error:
            report = await self._records.report(asked.name) if error.code == "deployment.unknown" else None
            if report is None:
                raise
            return api.Statuses(deployments=[_gone(report)])

    async def report(self, asked: api.Named) -> api.Reported:
        """What the last teardown of a name has saved."""
        return api.Reported(report=await self._records.report(asked.name))

    async def list_evidence(self, asked: Nothing) -> evidence_api.Items:
        """All of it, oldest first."""
        found = await self._records.all_evidence()
        fields = evidence_api.Item.model_fields
        return evidence_api.Items(evidence=[evidence_api.Item(**{name: one[name] for name in fields}) for one in found])

    async def show_evidence(self, asked: evidence_api.WhichEvidence) -> evidence_api.Document:
        """One document."""
        found = await self._records.evidence(asked.id)
        if found is None:
            hint = "`thalweg evidence list` shows what there is"
            raise RejectedError(f"there is no evidence {asked.id}", code="evidence.unknown", hint=hint)
        return evidence_api.Document(document=found, key=self._key)

    async def key(self, asked: Nothing) -> evidence_api.PublicKey:
        """The key to trust."""
        return evidence_api.PublicKey(key=self._key)

    async def _status(self, name: str) -> api.DeploymentStatus:
        found = await self._looks.status(name)
        return found.model_copy(update={"current": await self._endpoints.current(found.backend) == name})

    async def _refuse_unusable_secrets(self, status: Status, lease: str) -> None:
        bound = [(vertex.name, name) for vertex in status.plan.vertices for name in vertex.secrets.values()]
        known = {one.name: one for one in await self._secrets.infos()} if bound else {}
        for vertex, name in bound:
            if name not in known:
                hint = f"thalweg secret set {name}"
                raise RejectedError(f"vertex {vertex}: there is no secret {name}", code="secret.unknown", hint=hint, secret=name)
            check_visible("secret", name, known[name].lease, lease)

    async def _replaced(self, spec: DeploymentSpec, asked: api.Replaced | None) -> DeploymentSpec:
        """With the sources replaced whose records come from a file."""
        if asked is None:
            return spec
        file = FileSpec(asked.artifact, asked.name, 0)
        vertices = await asyncio.to_thread(self._fed, spec, file, asked)
        return msgspec.structs.replace(spec, vertices=vertices)

    def _fed(self, spec: DeploymentSpec, file: FileSpec, asked: api.Replaced) -> list[VertexSpec]:
        """Blocking."""
        path = self._locate_for(spec.lease)(file.artifact)
        if path is None:
            raise RejectedError(f"there is no file {file.artifact}", code="artifact.unknown", hint="upload it first")
        return replace_sources(spec.vertices, open_feed(path, file.name), file, asked.vertices, self._releases, go_on=asked.go_on)

    async def _spec(self, backend: str, revision: int | None, lease: str, launcher: LauncherName) -> DeploymentSpec:
        """What a backend is at a revision, as it is deployed by a lease, or the workspace; only a complete graph is."""
        log = await self._logs.read(backend)
        check_visible("backend", backend, log.lease, lease)
        at = log.revision if revision is None else revision
        graph = log.at(at)
        status = await asyncio.to_thread(status_of, graph, self._releases, None, self._inspect, self._locate_for(lease))
        _refuse_incomplete(backend, at, status)
        if launcher != "static":  # whoever starts the vertices gives them their secrets
            await self._refuse_unusable_secrets(status, lease)
        vertices = [
            spec_of(one, {slot: bound_artifact(str(artifact)) for slot, artifact in one.files.items()}) for one in status.plan.vertices
        ]
        return DeploymentSpec(
            self._workspace,
            backend,
            backend,
            split(vertices, status.plan.vertices),
            revision=at,
            graph_digest=graph.digest(),
            expect=expectations_of(graph.expect),
            replicas=replicas_of(self._client),
            aliases={alias: str(endpoint) for alias, endpoint in graph.aliases.items()},
            lease=lease,
            launcher=launcher,
        )


def _refuse_incomplete(backend: str, revision: int, status: Status) -> None:
    if status.is_deployable:
        return
    parts = (status.whole, *status.vertices.values(), *status.edges.values())
    faults = [fault for part in parts for fault in part.reasons]
    raise faults_error(faults, [f"{backend} at revision {revision} cannot be deployed"], "backend.incomplete")


def _refuse_unless_running(spec: DeploymentSpec) -> None:
    if spec.desired != "running":
        raise RejectedError(f"deployment {spec.name} is {spec.desired}", code="deployment.stopping")
    if not spec.revision:
        raise RejectedError(f"deployment {spec.name} is of no stored backend", code="deployment.no_backend")


def _busy(name: str) -> RejectedError:
    return RejectedError(f"deployment {name} is changed by many at once", code="deployment.busy", hint="try again")


def _deployed(spec: DeploymentSpec, changes: list[api.Restart] | None = None) -> api.Deployed:
    return api.Deployed(
        name=spec.name,
        backend=spec.backend,
        revision=spec.revision,
        generation=spec.generation,
        digest=spec.graph_digest,
        deployed_ns=spec.deployed_ns,
        vertices=[one.name for one in spec.vertices if not one.retired],
        changes=changes or [],
    )


def _gone(report: api.Report) -> api.DeploymentStatus:
    return api.DeploymentStatus(
        name=report.name,
        backend=report.backend,
        revision=report.revision,
        generation=report.generation,
        deployed_ns=report.deployed_ns,
        state="stopped",
        report=report,
    )
