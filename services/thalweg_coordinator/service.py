"""Reconciles what is stored with what runs, deployment by deployment; all state is in JetStream, so any copy can take over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from thalweg.artifacts import Store
from thalweg.artifacts.content.bound import check_bound
from thalweg.bus import deployments
from thalweg.bus.alive import alive
from thalweg.bus.buckets import Bucket
from thalweg.bus.captures import captures_bucket
from thalweg.bus.connection import Client, connect_unless, raise_if_ended
from thalweg.bus.consumers import make_for_others
from thalweg.bus.holds import holds_bucket
from thalweg.bus.leadership import Leadership
from thalweg.bus.leases import Leases
from thalweg.bus.log_stream import ensure_log_stream
from thalweg.bus.micro import serve
from thalweg.bus.operation_logs import ensure_operation_logs
from thalweg.bus.presence import answer_pings
from thalweg.errors import RejectedError
from thalweg.published import Environments, Sources, Workers
from thalweg.published.releases import PublishedReleases
from thalweg.runtime.tasks import end_tasks
from thalweg.sdk.catalog import Catalog
from thalweg.sealed.evidence import workspace_key
from thalweg.settings import Settings
from thalweg.wire import subjects
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.admission import Admission
from thalweg_coordinator.api import answers
from thalweg_coordinator.artifacts import local_archives, local_copies
from thalweg_coordinator.backends import Backends
from thalweg_coordinator.capturing import Capturing
from thalweg_coordinator.care import Care
from thalweg_coordinator.components import Components
from thalweg_coordinator.credentials import CredentialCalls
from thalweg_coordinator.dead_letters import DeadLetters
from thalweg_coordinator.deployments import Deployments
from thalweg_coordinator.endpoints import Endpoints
from thalweg_coordinator.files import Files
from thalweg_coordinator.launchers import Launchers, makers
from thalweg_coordinator.launching import Launcher
from thalweg_coordinator.lease_contents import LeaseContents
from thalweg_coordinator.lease_ends import LeaseEnds
from thalweg_coordinator.leases import LeaseCalls
from thalweg_coordinator.logs_of_backends import LogsOfBackends
from thalweg_coordinator.looks import Looks
from thalweg_coordinator.probing import Probes
from thalweg_coordinator.processes import ProcessLauncher, own_forks
from thalweg_coordinator.replays import Replays
from thalweg_coordinator.replicas import match_all
from thalweg_coordinator.secrets import SecretCalls, Secrets
from thalweg_coordinator.stored_releases import StoredReleases
from thalweg_coordinator.teardown import Teardown
from thalweg_coordinator.uses import Uses

if TYPE_CHECKING:
    from thalweg_coordinator.metrics import Snapshot
    from thalweg_coordinator.metrics_server import MetricsServer

_log = logging.getLogger("thalweg.coordinator")
TICK_S = 0.1
LEASES_S = 0.3  # between two looks at leases
CARE_TIMEOUT_S = 15.0


class Coordinator:
    """Takes care of the deployments of a workspace.

    Args:
        settings: where NATS and the data folder are.
        only: name of a run, whose deployments alone, `only` and `only-…`, are cared for; None for all.
        given: values of secrets by name, which then come from nowhere else.
    """

    def __init__(self, settings: Settings, only: str | None, given: Mapping[str, str] | None = None) -> None:
        self._settings, self._only, self._given = settings, only, given
        forks = own_forks()
        self._launchers, self._admission = Launchers(settings, makers(forks)), Admission(settings)
        folders = settings.data / "captures", settings.data / "logs", settings.data / "scratch"
        self._captures = ProcessLauncher(*folders, forks, "thalweg_coordinator.capture")
        self._cares: dict[str, tuple[Launcher, Care]] = {}
        self._reported: dict[str, str] = {}
        self._ending: set[str] = set()  # deployments that a lease's end takes away
        self._teardown: Teardown | None = None
        self._endpoints: Endpoints | None = None
        self._noted: dict[str, tuple[int, int]] = {}
        self._leadership: Leadership | None = None
        self._led: bool | None = None
        self._workers: Workers | None = None
        self._metrics: MetricsServer | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Reconciles a few times a second until `stop` is set. What runs is left running."""
        client = await connect_unless(stop, self._settings, "coordinator")
        if client is None:
            return
        tasks: list[asyncio.Task[None]] = []
        try:
            await deployments.ensure_bucket(client, self._settings.workspace)
            for bucket in (holds_bucket, captures_bucket):
                await bucket(client, self._settings.workspace).ensure()
            await make_for_others(client, self._settings.workspace)
            await asyncio.to_thread(self._launchers.open_known, with_usual=self._only is None)
            await self._guard("logs", self._keep_logs(client))
            await self._prepare(client)
            await self._guard("replicas", self._match_replicas(client))
            tasks.append(asyncio.create_task(self._end_leases(client)))
            if self._only is None:
                self._leadership = Leadership(client, self._settings.workspace)
                tasks.append(asyncio.create_task(self._leadership.keep()))
            async with alive(self._settings.alive_file, client):
                await self._reconcile_until(stop, client)
        finally:
            await end_tasks(*tasks)
            if self._metrics is not None:
                await asyncio.to_thread(self._metrics.close)
            await client.close()
            if self._only is not None:  # nobody else cares for them
                for launcher in (*self._launchers.made().values(), self._captures):
                    for name in {self._only, *filter(self._is_mine, launcher.deployments())}:
                        await asyncio.to_thread(launcher.stop, name)
            if self._workers is not None:
                await asyncio.to_thread(self._workers.close)

    async def _reconcile_until(self, stop: asyncio.Event, client: Client) -> None:
        while not stop.is_set():
            raise_if_ended(client)
            if self._leads():
                began = time.perf_counter()
                await self._guard("reconcile", self._reconcile(client))
                if self._metrics is not None:
                    self._metrics.note_reconcile(time.perf_counter() - began)
            else:
                self._cares.clear()  # what another copy does meanwhile is not known here
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TICK_S)

    async def _keep_logs(self, client: Client) -> None:
        settings = self._settings
        await ensure_log_stream(client, settings.workspace, settings.log_max_age_s, settings.log_max_bytes, change=True)

    async def _match_replicas(self, client: Client) -> None:
        if self._only is None:  # one of a single run leaves what is there as it is
            for line in await match_all(client, self._settings.workspace):
                _log.warning("%s", line)

    def _serve_metrics(self, client: Client, looks: Looks) -> None:
        if not self._settings.metrics_port:
            return
        from thalweg_coordinator.metrics_server import MetricsServer  # not earlier: prometheus-client is an extra
        from thalweg_coordinator.snapshots import snapshot

        async def look() -> Snapshot:
            return await snapshot(client, self._settings.workspace, looks, self._leadership is not None and self._leadership.leads)

        self._metrics = MetricsServer(look)
        self._metrics.open(self._settings.metrics_host, self._settings.metrics_port)

    def _leads(self) -> bool:
        leads = self._leadership is None or self._leadership.leads
        if leads != self._led:
            self._led = leads
            _log.info("this coordinator %s", "leads" if leads else "follows")
        return leads

    async def _prepare(self, client: Client) -> None:
        """Answers the API, but for a coordinator of one deployment; its state is in JetStream alone, so any copy may answer."""
        if self._only is not None:
            return
        workspace = self._settings.workspace
        await ensure_operation_logs(client, workspace)
        catalog = Catalog(paths=self._settings.components)
        store = Store.of(self._settings)
        sources = Sources(local_archives(store), self._settings.data / "cache" / "releases")
        self._workers = Workers(sources, Environments(self._settings.data / "environments"))
        releases = PublishedReleases(catalog, self._workers)
        logs, locate_for, sealed = LogsOfBackends(client, workspace), partial(local_copies, store), self._secrets(client)
        leases, look = Leases(client, workspace), (check_bound, locate_for(""))
        backends = Backends(logs, releases, check_bound, locate_for, sealed)
        key = await asyncio.to_thread(workspace_key, self._settings.signing_key, self._settings.data)
        self._teardown = Teardown(client, workspace, store, key, self._settings.nats_sync)
        await self._teardown.ensure()
        self._endpoints = endpoints = Endpoints(client, workspace, logs)
        await endpoints.ensure()
        looks = Looks(client, workspace, self._launchers.usage)
        self._serve_metrics(client, looks)
        deployed = Deployments(
            client, workspace, logs, releases, check_bound, locate_for, sealed, endpoints, key.public, looks, self._launchers
        )
        stored = StoredReleases(client, workspace, releases, backends.forget)
        await stored.ensure()
        components = Components(stored, Catalog(), sources, self._workers, logs, *look)
        uses = Uses(client, workspace, logs)
        records = Bucket(client, subjects.bucket(workspace, "artifacts"))
        await records.ensure()
        await Bucket(client, subjects.bucket(workspace, "secrets")).ensure()
        await leases.ensure()
        files, secrets = Files(records, store, uses), SecretCalls(sealed, uses)
        lease_calls = LeaseCalls(leases, LeaseContents(client, workspace, logs, sealed, store))
        handlers = (
            stored.refreshing({**backends.handlers(), **components.handlers(), **deployed.handlers()})
            | files.handlers()
            | secrets.handlers()
            | Probes(sealed).handlers()
            | DeadLetters(client, workspace).handlers()
            | endpoints.handlers()
            | CredentialCalls(client, workspace, self._admission, endpoints).handlers()
            | lease_calls.handlers()
            | Replays(client, workspace).handlers()
        )
        on_answer = self._metrics.count_call if self._metrics is not None else lambda *_: None
        await serve(client, workspace, version("thalweg"), answers(lease_calls.requiring_open(handlers), on_answer))
        await answer_pings(client, workspace)

    async def _end_leases(self, client: Client) -> None:
        """Ends leases for as long as this copy runs. One of a single deployment does, too: those of killed runs, in their data folder."""
        workspace, store = self._settings.workspace, Store.of(self._settings)
        contents = LeaseContents(client, workspace, LogsOfBackends(client, workspace), self._secrets(client), store)
        ends, is_busy = LeaseEnds(Leases(client, workspace), contents, self._ending.add), False

        async def step() -> None:
            nonlocal is_busy
            is_busy = await ends.step()

        while True:
            if self._leads():
                await self._guard("leases", step())
            await asyncio.sleep(TICK_S if is_busy or self._only is not None else LEASES_S)

    def _secrets(self, client: Client) -> Secrets:
        settings = self._settings
        bucket = Bucket(client, subjects.bucket(settings.workspace, "secrets"))
        return Secrets(bucket, settings.workspace, settings.secret_key, settings.data / "secret.key", self._given)

    async def _guard(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Awaits `work`; its error is reported once, and keeps nothing else from being done."""
        try:
            await work
            self._reported.pop(what, None)
        except Exception as error:  # whatever it is: one deployment never ends the care for the others
            said = f"{type(error).__name__}: {error}"
            if self._reported.get(what) != said:
                self._reported[what] = said
                _log.warning("%s: %s", what, said)

    async def _reconcile(self, client: Client) -> None:
        stored = await deployments.list_deployments(client, self._settings.workspace)
        names = [name for name in stored if self._is_mine(name)]
        launchers = self._launchers.made()
        looks = (self._guard(f"launcher {name}", asyncio.to_thread(self._launchers.observe, name)) for name in launchers)
        await asyncio.gather(*looks)
        started = {name for launcher in (*launchers.values(), self._captures) for name in launcher.deployments()}
        gone = [name for name in {*started, *self._cares} - {*stored} if self._is_mine(name)]
        await asyncio.gather(
            *(self._guard(name, self._step(client, name)) for name in names),
            *(self._guard(name, self._forget(client, name)) for name in gone),
        )

    def _is_mine(self, name: str) -> bool:
        only = self._only
        return only in (None, name) or name.startswith(f"{only}-") or name in self._ending

    async def _step(self, client: Client, name: str) -> None:
        async with asyncio.timeout(CARE_TIMEOUT_S):
            try:
                spec = await deployments.load_deployment(client, self._settings.workspace, name)
            except RejectedError as error:
                if error.code == "deployment.unknown":
                    return  # removed since it was listed
                raise
            await self._guard(f"endpoints of {name}", self._note_endpoints(spec))
            launcher = await asyncio.to_thread(self._launchers.sighted, spec.launcher)
            await self._care_of(client, name, launcher).step(spec)

    async def _note_endpoints(self, spec: DeploymentSpec) -> None:
        """Whoever deployed it has done so already, unless it died in between."""
        state = (spec.deployed_ns, spec.generation)
        if self._endpoints is None or self._noted.get(spec.name) == state:
            return
        with suppress(RejectedError):  # its backend is gone
            await self._endpoints.note_deployed(spec)
        self._noted[spec.name] = state

    async def _forget(self, client: Client, name: str) -> None:
        for launcher in self._launchers.made().values():
            await self._care_of(client, name, launcher).forget()
        self._cares.pop(name, None)
        self._noted.pop(name, None)
        self._ending.discard(name)

    def _care_of(self, client: Client, name: str, launcher: Launcher) -> Care:
        known, care = self._cares.get(name, (None, None))
        if care is None or known is not launcher:
            reveal = self._secrets(client).reveal
            capturing = Capturing(client, self._captures, name)
            admit = self._admission.of_vertex
            care = Care(client, launcher, self._settings.workspace, name, reveal, admit, capturing, self._teardown)
            self._cares[name] = launcher, care
        return care
