"""Answers calls about endpoints, and keeps where the URLs of each backend lead."""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec

from thalweg.api import endpoints as api
from thalweg.api.calls import Call
from thalweg.api.leases import check_owner
from thalweg.bus import deployments
from thalweg.bus.buckets import Bucket, StaleWriteError
from thalweg.bus.connection import Client
from thalweg.errors import RejectedError
from thalweg.graph.wording import did_you_mean
from thalweg.wire import subjects
from thalweg.wire.endpoints import TOKEN_PREFIX, EndpointRecord, Pointer, record_key, rotate
from thalweg.wire.spec import DeploymentSpec, VertexSpec
from thalweg_coordinator.api import Handler
from thalweg_coordinator.logs_of_backends import LogsOfBackends

TRIES = 20


class Endpoints:
    """Handlers by call, and what a deploy does with the endpoints of its graph.

    Args:
        client: NATS connection.
        workspace: whose.
        logs: of backends.
    """

    def __init__(self, client: Client, workspace: str, logs: LogsOfBackends) -> None:
        self._client, self._workspace, self._logs = client, workspace, logs
        self._bucket = Bucket(client, subjects.bucket(workspace, "endpoints"))

    async def ensure(self) -> None:
        """Makes the bucket."""
        await self._bucket.ensure()

    def handlers(self) -> dict[Call[Any, Any], Handler]:
        """By call of `thalweg.api.endpoints`."""
        return {api.LIST: self.list, api.SHOW: self.show, api.ROTATE: self.rotate}

    async def note_deployed(self, spec: DeploymentSpec) -> None:
        """Makes the records that are missing, and has the backend's URLs lead to this deployment unless a later one has them.

        Harmless to repeat: by who deploys, and by who cares for the deployment, should the former have died in between. What a
        lease tries on a backend that is not its own takes no caller over.
        """
        if not spec.revision or not any(one.endpoint for one in spec.vertices):
            return
        for vertex in spec.vertices:
            if vertex.endpoint:
                record = EndpointRecord(vertex.endpoint, time.time_ns())
                try:
                    await self._bucket.put(record_key(spec.backend, vertex.name, vertex.endpoint), msgspec.json.encode(record), 0)
                except StaleWriteError:
                    continue  # it is there: its tokens stay valid
        if (await self._logs.read(spec.backend)).lease == spec.lease:
            await self._point(spec.backend, Pointer(spec.name, spec.deployed_ns, spec.aliases))

    async def _point(self, backend: str, pointer: Pointer) -> None:
        """Moves the pointer forward, never back."""
        for _ in range(TRIES):
            found = await self._bucket.get(backend)
            known = msgspec.json.decode(found.value, type=Pointer) if found.value is not None else None
            if known == pointer or (known is not None and known.deployed_ns > pointer.deployed_ns):
                return
            try:
                await self._bucket.put(backend, msgspec.json.encode(pointer), found.revision)
            except StaleWriteError:
                continue
            return

    async def current(self, backend: str) -> str | None:
        """Name of the deployment that a backend's URLs lead to."""
        found = (await self._bucket.get(backend)).value
        return msgspec.json.decode(found, type=Pointer).deployment if found is not None else None

    async def forget(self, backend: str) -> None:
        """Removes all that is kept of a backend's endpoints; who reads along sees first that no token is valid."""
        for key in await self._bucket.keys(f"{backend}.*.*"):
            found = await self._bucket.get(key)
            if found.value is not None:
                record = msgspec.json.decode(found.value, type=EndpointRecord)
                emptied = await self._bucket.put(key, msgspec.json.encode(msgspec.structs.replace(record, tokens=[])), None)
                await self._bucket.delete(key, emptied)
        pointer = await self._bucket.get(backend)
        if pointer.value is not None:
            await self._bucket.delete(backend, pointer.revision)

    async def list(self, asked: api.MaybeOfBackend) -> api.EndpointsListed:
        """Of one backend, or of all; those too whose backend is not deployed now."""
        keys = await self._bucket.keys(f"{asked.backend}.*.*" if asked.backend is not None else "*.*.*")
        found = await self._bucket.items(keys)
        specs = {backend: await self._spec(backend) for backend in {key.partition(".")[0] for key in found}}
        infos = [_info(key, msgspec.json.decode(body, type=EndpointRecord), specs[key.partition(".")[0]]) for key, body in found.items()]
        return api.EndpointsListed(endpoints=sorted(infos, key=lambda one: (one.backend, one.name)))

    async def show(self, asked: api.WhichEndpoint) -> api.EndpointInfo:
        """One of them."""
        infos = (await self.list(api.MaybeOfBackend(backend=asked.backend))).endpoints
        info = next((one for one in infos if asked.name == one.name or asked.name in one.aliases), None)
        if info is None:
            hint = did_you_mean(asked.name, [one.name for one in infos]) if infos else "endpoints are made when a backend is deployed"
            raise RejectedError(f"backend {asked.backend} has no endpoint {asked.name}", code="endpoint.unknown", hint=hint)
        return info

    async def rotate(self, asked: api.Rotate) -> api.Rotated:
        """A new token; the answer is the only place where it is ever written."""
        info = await self.show(api.WhichEndpoint(backend=asked.backend, name=asked.name))
        check_owner("backend", asked.backend, (await self._logs.read(asked.backend)).lease, asked.owner)
        key, token = record_key(info.backend, info.vertex, info.endpoint), TOKEN_PREFIX + secrets.token_urlsafe(32)
        for _ in range(TRIES):
            found = await self._bucket.get(key)
            if found.value is None:
                break
            record = msgspec.json.decode(found.value, type=EndpointRecord)
            record = rotate(record, token, time.time_ns(), int(asked.grace_s * 1e9))
            try:
                await self._bucket.put(key, msgspec.json.encode(record), found.revision)
            except StaleWriteError:
                continue
            return api.Rotated(endpoint=_info(key, record, await self._spec(info.backend)), token=token)
        raise RejectedError(f"endpoint {asked.name} is changed by many at once", code="endpoint.busy", hint="try again")

    async def _spec(self, backend: str) -> DeploymentSpec | None:
        """The deployment that a backend's URLs lead to."""
        name = await self.current(backend)
        if name is None:
            return None
        try:
            return await deployments.load_deployment(self._client, self._workspace, name)
        except RejectedError:
            return None


def _info(key: str, record: EndpointRecord, spec: DeploymentSpec | None) -> api.EndpointInfo:
    backend, vertex, endpoint = key.split(".")
    now_ns = time.time_ns()
    tokens = [one for one in record.tokens if one.expires_ns is None or one.expires_ns > now_ns]
    mine = next((one for one in spec.vertices if one.name == vertex and one.endpoint == endpoint), None) if spec is not None else None
    return api.EndpointInfo(
        backend=backend,
        vertex=vertex,
        endpoint=endpoint,
        side=record.side,
        path=f"/e/{backend}/{vertex}/{endpoint}",
        subject=_subject(spec, mine),
        type=mine.outputs["out"] if mine is not None else None,
        deployment=spec.name if spec is not None and mine is not None else None,
        aliases=[alias for alias, name in spec.aliases.items() if name == f"{vertex}.{endpoint}"] if spec is not None else [],
        tokens=[api.TokenInfo(created_ns=one.created_ns, expires_ns=one.expires_ns) for one in tokens],
    )


def _subject(spec: DeploymentSpec | None, vertex: VertexSpec | None) -> str | None:
    if spec is None or vertex is None:
        return None
    return (subjects.inlet if vertex.endpoint == "in" else subjects.outlet)(spec.workspace, spec.name, vertex.name)
