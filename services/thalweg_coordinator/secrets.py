"""Answers calls about secrets, and opens those that a vertex is bound to; values are sealed before they are written anywhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from thalweg.api import secrets as api
from thalweg.api.calls import Call, Nothing
from thalweg.api.leases import check_owner, check_visible
from thalweg.bus.buckets import Bucket, Item, StaleWriteError
from thalweg.errors import RejectedError
from thalweg.sealed.box import SecretBox
from thalweg.sealed.keys import load_or_make_key
from thalweg_coordinator.api import Handler
from thalweg_coordinator.uses import Uses, refuse_bound


class _Stored(msgspec.Struct, frozen=True):
    sealed: bytes
    time_ns: int
    author: str
    lease: str = ""


class Secrets:
    """The sealed secrets of a workspace.

    Args:
        bucket: where they are.
        workspace: whose.
        key: base64 of the key that seals them; None for the file.
        key_path: the file, made when the first secret is set.
        given: values by name that serve instead; for a run that has no store of secrets.
    """

    def __init__(self, bucket: Bucket, workspace: str, key: str | None, key_path: Path, given: Mapping[str, str] | None = None) -> None:
        self._bucket, self._workspace, self._given = bucket, workspace, given
        self._key, self._key_path = key, key_path

    async def reveal(self, names: Mapping[str, str], lease: str = "") -> dict[str, str]:
        """Values by slot, for the process of the vertex that has these bindings and nobody else.

        Args:
            names: secret by slot.
            lease: which owns the vertex's deployment.

        Raises:
            RejectedError: `secret.unknown`, `lease.foreign`, `secret.wrong_key`, `secret.damaged`, or the key cannot be used (`key.…`).
        """
        return {slot: await self._reveal(name, lease) for slot, name in names.items()}

    async def write(self, name: str, value: str, author: str, lease: str = "") -> api.SecretInfo:
        """Seals and stores a value, replacing an older one of the same owner. Raises RejectedError (`lease.foreign`)."""
        sealed = (await self._box()).encrypt(self._workspace, name, value)
        stored = _Stored(sealed, time.time_ns(), author, lease)
        while True:
            item = await self._bucket.get(name)
            if item.value is not None:
                check_owner("secret", name, _decode(name, item.value).lease, lease)
            try:
                await self._bucket.put(name, msgspec.msgpack.encode(stored), item.revision)
            except StaleWriteError:
                continue
            return _info(name, stored)

    async def promote(self, name: str, lease: str) -> None:
        """Makes a lease's secret the workspace's; harmless when it is, or is gone."""
        while (item := await self._bucket.get(name)).value is not None:
            stored = _decode(name, item.value)
            if stored.lease != lease:
                return
            try:
                await self._bucket.put(name, msgspec.msgpack.encode(msgspec.structs.replace(stored, lease="")), item.revision)
            except StaleWriteError:
                continue
            return

    async def infos(self) -> list[api.SecretInfo]:
        """All that may be told, by name."""
        return [_info(name, _decode(name, body)) for name, body in (await self._bucket.items()).items()]

    async def unset(self, bound: Mapping[str, Mapping[str, str]], lease: str) -> list[str]:
        """A line for each secret that is bound and has no value which the owner may use.

        Args:
            bound: secret by slot, by vertex.
            lease: which owns the backend.
        """
        known = {one.name: one.lease for one in await self.infos()} if any(bound.values()) else {}
        return [
            f"vertex {vertex}: secret {name} is not set: `thalweg secret set {name}`, before it is deployed"
            for vertex, slots in bound.items()
            for name in slots.values()
            if known.get(name) not in ("", lease)
        ]

    async def find(self, name: str) -> Item:
        """A stored secret. Raises RejectedError (`secret.unknown`) where there is none."""
        item = await self._bucket.get(name)
        if item.value is None:
            raise RejectedError(f"there is no secret {name}", code="secret.unknown", hint=f"thalweg secret set {name}", secret=name)
        return item

    async def remove(self, name: str) -> None:
        """Removes a secret, whatever it is bound to; harmless when it is gone."""
        item = await self._bucket.get(name)
        if item.value is not None:
            await self.delete(name, item.revision)

    async def delete(self, name: str, revision: int) -> None:
        """Deletes a secret. Raises RejectedError (`secret.busy`) where it was set again since."""
        try:
            await self._bucket.delete(name, revision)
        except StaleWriteError:
            raise RejectedError(f"secret {name} was set again meanwhile", code="secret.busy", hint="try again") from None

    async def _reveal(self, name: str, lease: str) -> str:
        if self._given is not None:
            if name not in self._given:
                raise RejectedError(f"no value was given for secret {name}", code="secret.unknown", secret=name)
            return self._given[name]
        item = await self.find(name)
        assert item.value is not None
        stored = _decode(name, item.value)
        check_visible("secret", name, stored.lease, lease)
        return (await self._box()).decrypt(self._workspace, name, stored.sealed)

    async def _box(self) -> SecretBox:
        return SecretBox(await asyncio.to_thread(load_or_make_key, self._key, self._key_path))


class SecretCalls:
    """Handlers by call.

    Args:
        secrets: the store.
        uses: where they are bound.
    """

    def __init__(self, secrets: Secrets, uses: Uses) -> None:
        self._secrets, self._uses = secrets, uses

    def handlers(self) -> dict[Call[Any, Any], Handler]:
        """By call of `thalweg.api.secrets`."""
        return {api.SET: self.set, api.LIST: self.list_all, api.REMOVE: self.remove}

    async def set(self, asked: api.SetSecret) -> api.SecretInfo:
        """Seals a value; vertices that run keep the one that they were started with."""
        return await self._secrets.write(asked.name, asked.value, asked.author, asked.owner)

    async def list_all(self, asked: Nothing) -> api.SecretsListed:
        """Names, never values."""
        uses = await self._uses.of_secrets()
        infos = await self._secrets.infos()
        return api.SecretsListed(secrets=[one.model_copy(update={"uses": uses.get(one.name, [])}) for one in infos])

    async def remove(self, asked: api.WhichSecret) -> api.SecretInfo:
        """Removes a secret that nothing is bound to."""
        item = await self._secrets.find(asked.name)
        assert item.value is not None
        check_owner("secret", asked.name, _decode(asked.name, item.value).lease, asked.owner)
        refuse_bound(f"secret {asked.name}", (await self._uses.of_secrets()).get(asked.name, []), "secret.bound")
        await self._secrets.delete(asked.name, item.revision)
        return _info(asked.name, _decode(asked.name, item.value))


def _decode(name: str, body: bytes) -> _Stored:
    try:
        return msgspec.msgpack.decode(body, type=_Stored)
    except msgspec.DecodeError as error:
        raise RejectedError(f"secret {name}: its stored bytes are damaged", code="secret.damaged", secret=name) from error


def _info(name: str, stored: _Stored) -> api.SecretInfo:
    return api.SecretInfo(name=name, time_ns=stored.time_ns, author=stored.author, lease=stored.lease)
