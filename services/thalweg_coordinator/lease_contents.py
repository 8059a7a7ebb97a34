"""What a lease owns: finds it, makes it the workspace's, removes it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable

import msgspec

from thalweg.api.leases import Kind, Thing, check_owner
from thalweg.artifacts import ArtifactRecord, Store
from thalweg.bus import deployments
from thalweg.bus.buckets import Bucket, StaleWriteError
from thalweg.bus.connection import Client
from thalweg.bus.heads import latest_commits, read_heads
from thalweg.errors import RejectedError
from thalweg.graph.pipeline import Vertex
from thalweg.wire import subjects
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.endpoints import Endpoints
from thalweg_coordinator.logs_of_backends import LogsOfBackends
from thalweg_coordinator.secrets import Secrets

TRIES = 20
REMOVAL: tuple[Kind, ...] = ("deployment", "backend", "secret", "file", "report", "evidence")  # who needs others goes before them


class LeaseContents:
    """Things by lease.

    Args:
        client: NATS connection.
        workspace: whose leases.
        logs: of backends.
        secrets: sealed.
        store: of files.
    """

    def __init__(self, client: Client, workspace: str, logs: LogsOfBackends, secrets: Secrets, store: Store) -> None:
        self._client, self._workspace, self._logs, self._secrets, self._store = client, workspace, logs, secrets, store
        self._artifacts, self._reports, self._evidence = (
            Bucket(client, subjects.bucket(workspace, kind)) for kind in ("artifacts", "reports", "evidence")
        )

    async def things(self, lease: str) -> list[Thing]:
        """All that it owns, in the order in which they can be removed."""
        found = [Thing(kind="deployment", name=spec.name, note=spec.desired) for spec in await self._deployments() if spec.lease == lease]
        for name in await self._logs.names():
            if (await self._logs.read(name, may_be_new=True)).lease == lease:
                found.append(Thing(kind="backend", name=name))
        found += [Thing(kind="secret", name=one.name) for one in await self._secrets.infos() if one.lease == lease]
        for _, record in await self._records(lease):
            if not any(one.name == record.id for one in found):
                found.append(Thing(kind="file", name=record.id, note=record.name))
        found += [Thing(kind="report", name=key.partition(".")[0]) for key in await self._reports.keys(f"*.{lease}")]
        found += [Thing(kind="evidence", name=key.partition(".")[0]) for key in await self._evidence.keys(f"*.{lease}")]
        return found

    async def promote(self, lease: str, wanted: Iterable[Thing]) -> list[Thing]:
        """Makes things the workspace's, what they need first; may be repeated.

        Raises:
            RejectedError: one of them is not the lease's (`lease.foreign`, `lease.not_there`).
        """
        owned = {str(one): one for one in await self.things(lease)}
        asked = [await self._resolve(lease, one, owned) for one in wanted]
        promoted: dict[str, Thing] = {}
        for thing in asked:
            for one in [*await self._needs(lease, thing, owned), thing]:
                if str(one) not in promoted:
                    await self._promote(lease, one)
                    promoted[str(one)] = one
        return list(promoted.values())

    async def discard(self, name: str) -> None:
        """Says that a deployment is to end at once; who cares for it brings that about."""
        for _ in range(TRIES):
            try:
                spec, revision = await deployments.read_deployment(self._client, self._workspace, name)
                if spec.desired != "discarding":
                    await deployments.store_deployment(self._client, msgspec.structs.replace(spec, desired="discarding"), expected=revision)
                return
            except deployments.StaleSpecError:
                continue
            except RejectedError as error:
                if error.code == "deployment.unknown":
                    return
                raise

    async def remove(self, lease: str, thing: Thing) -> None:
        """Removes a thing that is no deployment; harmless when it is gone."""
        if thing.kind == "backend":
            await Endpoints(self._client, self._workspace, self._logs).forget(thing.name)
            await self._logs.remove(thing.name)
        elif thing.kind == "secret":
            await self._secrets.remove(thing.name)
        elif thing.kind == "file":
            for key, record in await self._records(lease):
                if record.id == thing.name:
                    await _delete(self._artifacts, key)
        else:
            await _delete(self._reports if thing.kind == "report" else self._evidence, subjects.owned_key(thing.name, lease))

    async def wipe(self, lease: str) -> None:
        """Removes all that the lease has in the file store."""
        await asyncio.to_thread(self._store.of_lease(lease).remove_lease)

    async def _deployments(self) -> list[DeploymentSpec]:
        found = []
        for name in await deployments.list_deployments(self._client, self._workspace):
            try:
                found.append(await deployments.load_deployment(self._client, self._workspace, name))
            except RejectedError:
                continue  # removed since it was listed, or not readable
        return found

    async def _records(self, lease: str) -> list[tuple[str, ArtifactRecord]]:
        found = await self._artifacts.items(await self._artifacts.keys(f"*.*.{lease}"))
        return [(key, ArtifactRecord.model_validate_json(body)) for key, body in found.items()]

    async def _resolve(self, lease: str, wanted: Thing, owned: dict[str, Thing]) -> Thing:
        """A thing as the lease has it; a file may be named by some of its digits."""
        if wanted.kind == "file":
            digits = wanted.name.removeprefix("sha256:")
            fitting = [one for one in owned.values() if one.kind == "file" and one.name.removeprefix("sha256:").startswith(digits)]
            if len(fitting) == 1:
                return fitting[0]
        elif str(wanted) in owned:
            return owned[str(wanted)]
        if wanted.kind == "backend":
            check_owner("backend", wanted.name, (await self._logs.read(wanted.name)).lease, lease)
        hint = f"`thalweg lease show {lease}` shows what it has"
        raise RejectedError(f"lease {lease} has no {wanted.kind} {wanted.name}", code="lease.not_there", hint=hint)

    async def _needs(self, lease: str, thing: Thing, owned: dict[str, Thing]) -> list[Thing]:
        """What else of the lease has to be the workspace's for a thing to be whole there."""
        names: list[str] = []
        if thing.kind == "backend":
            names = _bound((await self._logs.read(thing.name)).head.vertices.values())
        elif thing.kind == "evidence":
            body = (await self._evidence.get(subjects.owned_key(thing.name, lease))).value
            document = json.loads(body) if body is not None else {"input_artifacts": [], "vertices": {}}
            names = [f"file:{artifact}" for artifact in document["input_artifacts"]]
            names += [f"file:{one['artifact']}" for vertex in document["vertices"].values() for one in vertex["generated"].values()]
            names += [f"file:{(document.get(one) or {}).get('artifact')}" for one in ("replay", "logs")]
        elif thing.kind == "deployment":
            spec = await deployments.load_deployment(self._client, self._workspace, thing.name)
            commits = latest_commits(await read_heads(self._client, self._workspace, spec.name))
            backend = owned.get(f"backend:{spec.backend}") if spec.revision else None
            names = await self._needs_of(lease, backend, owned) if backend is not None else []
            names += [f"file:{file.artifact}" for one in spec.vertices for file in one.files.values()]
            names += [f"secret:{name}" for one in spec.vertices for name in one.secrets.values()]
            names += [f"file:{one.artifact}" for commit in commits.values() for one in commit.generated.values()]
            unlisted = [name for name in names if name.startswith("file:") and name not in owned]
            return [owned[name] for name in names if name in owned] + [Thing(kind="file", name=name[5:]) for name in unlisted]
        return [owned[name] for name in names if name in owned]

    async def _needs_of(self, lease: str, backend: Thing, owned: dict[str, Thing]) -> list[str]:
        return [*map(str, await self._needs(lease, backend, owned)), str(backend)]

    async def _promote(self, lease: str, thing: Thing) -> None:
        if thing.kind == "backend":
            await self._logs.promote(thing.name, lease)
        elif thing.kind == "secret":
            await self._secrets.promote(thing.name, lease)
        elif thing.kind == "file":
            await self._promote_file(lease, thing.name)
        elif thing.kind == "deployment":
            await self._promote_deployment(thing.name, lease)
        else:
            bucket = self._reports if thing.kind == "report" else self._evidence
            body = await _move(bucket, subjects.owned_key(thing.name, lease), thing.name)
            if thing.kind == "evidence" and body is not None:
                await self._promote_file(lease, f"sha256:{hashlib.sha256(body).hexdigest()}")

    async def _promote_file(self, lease: str, artifact: str) -> None:
        store = self._store.of_lease(lease)
        if not await asyncio.to_thread(store.exists, artifact):
            return
        await asyncio.to_thread(store.promote, artifact)
        for key, record in await self._records(lease):
            if record.id == artifact:
                body = record.model_copy(update={"owner": "workspace"}).model_dump_json().encode()
                digits, token, _ = key.split(".")
                target = digits if record.provenance is None else f"{digits}.{token}"
                if (await self._artifacts.get(target)).value is None:
                    await self._artifacts.put(target, body, None)
                await _delete(self._artifacts, key)

    async def _promote_deployment(self, name: str, lease: str) -> None:
        for _ in range(TRIES):
            spec, revision = await deployments.read_deployment(self._client, self._workspace, name)
            if spec.lease != lease:
                return
            try:
                await deployments.store_deployment(self._client, msgspec.structs.replace(spec, lease=""), expected=revision)
            except deployments.StaleSpecError:
                continue
            return


def _bound(vertices: Iterable[Vertex]) -> list[str]:
    found: list[str] = []
    for one in vertices:
        found += [f"file:{artifact}" for artifact in one.files.values()]
        found += [f"secret:{name}" for name in one.secrets.values()]
    return found


async def _delete(bucket: Bucket, key: str) -> None:
    item = await bucket.get(key)
    if item.value is not None:
        try:
            await bucket.delete(key, item.revision)
        except StaleWriteError:  # written again meanwhile: the next round sees it
            return


async def _move(bucket: Bucket, key: str, target: str) -> bytes | None:
    """What was moved; None where it is gone."""
    body = (await bucket.get(key)).value
    if body is not None:
        await bucket.put(target, body, None)
        await _delete(bucket, key)
    return body
