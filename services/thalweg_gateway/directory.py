"""Finds what a URL leads to, and whether a token opens it: backend, current deployment, vertex, type."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from thalweg.bus.buckets import Bucket
from thalweg.bus.connection import Client, reader_of
from thalweg.bus.deployments import load_deployment
from thalweg.bus.mirror import Mirror
from thalweg.errors import RejectedError, UnreachableError
from thalweg.graph.fields import is_name
from thalweg.graph.parse import parse_type
from thalweg.sdk.outside import Outside
from thalweg.wire import subjects
from thalweg.wire.endpoints import EndpointRecord, Pointer, hash_token, is_accepted, record_key
from thalweg.wire.spec import DeploymentSpec, VertexSpec
from thalweg_gateway.refusals import REFUSED_TOKEN, RequestError

SPEC_TIMEOUT_S = 5.0
SPEC_AGE_S = 1.0  # how long a spec is taken for what runs
REFUSAL_S = 0.05  # every refusal of a token takes so long, whatever was looked up for it
MAX_SPECS, MAX_ROUTES = 1000, 1000


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint of the deployment that its URL leads to now.

    Attributes:
        backend: whose endpoint it is.
        spec: the deployment.
        vertex: whose endpoint it is, as deployed.
        outside: its values.
        who: tells callers apart without their tokens.
    """

    backend: str
    spec: DeploymentSpec
    vertex: VertexSpec
    outside: Outside
    who: str = field(repr=False)

    @property
    def stream(self) -> str:
        """The deployment's log."""
        return subjects.stream(self.spec.workspace, self.spec.name)

    @property
    def subject(self) -> str:
        """Of the endpoint."""
        name = subjects.inlet if self.vertex.endpoint == "in" else subjects.outlet
        return name(self.spec.workspace, self.spec.name, self.vertex.name)

    @property
    def path(self) -> str:
        """Of its URL."""
        return f"/e/{self.backend}/{self.vertex.name}/{self.vertex.endpoint}"

    def param(self, name: str) -> Any:
        """A param of the vertex."""
        return self.vertex.params[name]


class Directory:
    """All endpoints of a workspace.

    Args:
        client: NATS connection.
        workspace: whose.
    """

    def __init__(self, client: Client, workspace: str) -> None:
        self._client, self._workspace = client, workspace
        self._bucket = subjects.bucket(workspace, "endpoints")
        self._mirror = Mirror(client, self._bucket)
        self._specs: dict[str, tuple[float, DeploymentSpec | None]] = {}
        self._outside: dict[str, Outside] = {}

    async def load(self) -> None:
        """Reads what there is, and goes on reading."""
        if reader_of(self._client, "") is None:  # else it may not, and waits for a coordinator
            await Bucket(self._client, self._bucket).ensure()
        await self._mirror.load()

    async def close(self) -> None:
        """Reads no more."""
        await self._mirror.close()

    async def open_endpoint(self, name: str, vertex: str, endpoint: str, token: str | None) -> Route:
        """The endpoint of a URL, for who has a token of it.

        Args:
            name: a backend, or else a deployment.
            vertex, endpoint: which endpoint.
            token: as it came.

        Raises:
            RequestError: `token.refused`, also where there is no such endpoint; `endpoint.unknown`: the graph has it no more.
            UnreachableError: `deployment.not_running`.
        """
        asked_at = time.monotonic()
        backend, spec = await self._find(name)
        return await self._enter(asked_at, backend, spec, vertex, endpoint, token)

    async def open_alias(self, name: str, alias: str, token: str | None) -> Route:
        """The endpoint that an alias stands for. Raises as `open_endpoint`."""
        asked_at = time.monotonic()
        backend, spec = await self._find(name)
        leads = spec or self._pointer(backend)  # a token is looked at while nothing is deployed, too
        vertex, _, endpoint = (leads.aliases.get(alias, "") if leads is not None else "").partition(".")
        return await self._enter(asked_at, backend, spec, vertex, endpoint, token)

    async def spec(self, deployment: str) -> DeploymentSpec | None:
        """What a deployment is, at most `SPEC_AGE_S` ago; None where there is none."""
        found = self._specs.get(deployment)
        if found is not None and time.monotonic() - found[0] < SPEC_AGE_S:
            return found[1]
        try:
            async with asyncio.timeout(SPEC_TIMEOUT_S):
                spec = await load_deployment(self._client, self._workspace, deployment) if is_name(deployment) else None
        except RejectedError:
            spec = None
        except TimeoutError as error:
            raise UnreachableError("no NATS server answers", code="nats.unreachable", hint="try again later") from error
        if len(self._specs) >= MAX_SPECS:
            self._specs.clear()
        self._specs[deployment] = (time.monotonic(), spec)
        return spec

    async def is_where(self, name: str, route: Route) -> bool:
        """Whether a URL leads to the same deployment as it did."""
        _, spec = await self._find(name)
        return spec is not None and spec.deployed_ns == route.spec.deployed_ns and _vertex(spec, route.vertex.name) is not None

    async def _find(self, name: str) -> tuple[str, DeploymentSpec | None]:
        """Backend, and its current deployment; of the name of another deployment, that one."""
        pointer = self._pointer(name)
        if pointer is not None:
            return name, await self.spec(pointer.deployment)
        spec = await self.spec(name)
        return (spec.backend if spec is not None else name), spec

    def _pointer(self, backend: str) -> Pointer | None:
        stored = self._mirror.get(backend)
        return msgspec.json.decode(stored, type=Pointer) if stored is not None else None

    async def _enter(
        self, asked_at: float, backend: str, spec: DeploymentSpec | None, vertex: str, endpoint: str, token: str | None
    ) -> Route:
        if not self._is_open(backend, vertex, endpoint, token):
            await asyncio.sleep(max(0.0, asked_at + REFUSAL_S - time.monotonic()))
            if not self._is_open(backend, vertex, endpoint, token):  # by now a token that was made just before has arrived
                raise RequestError(**REFUSED_TOKEN["error"])
        if spec is None or spec.desired != "running":
            raise UnreachableError(f"backend {backend} is not deployed now", code="deployment.not_running", hint="try again later")
        found = _vertex(spec, vertex)
        if found is None or found.endpoint != endpoint:
            raise RequestError(f"deployment {spec.name} has no endpoint {vertex}.{endpoint} now", code="endpoint.unknown")
        return Route(backend, spec, found, self.values(found.outputs["out"]), hash_token(token or "")[:16])

    def _is_open(self, backend: str, vertex: str, endpoint: str, token: str | None) -> bool:
        stored = self._mirror.get(record_key(backend, vertex, endpoint))
        record = msgspec.json.decode(stored, type=EndpointRecord) if stored is not None else None
        return is_accepted(record, token, time.time_ns())

    def values(self, kind: str) -> Outside:
        """What reads and shows values of a type."""
        if kind not in self._outside:
            if len(self._outside) >= MAX_ROUTES:
                self._outside.clear()
            self._outside[kind] = Outside(parse_type(kind))
        return self._outside[kind]


def _vertex(spec: DeploymentSpec, name: str) -> VertexSpec | None:
    return next((one for one in spec.vertices if one.name == name and one.endpoint), None)
