"""Answers calls about files, from the records in their bucket; nothing that a caller says of a file is believed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from thalweg.api import files as api
from thalweg.api.calls import Call
from thalweg.api.leases import check_owner
from thalweg.artifacts import Artifact, ArtifactRecord, Store, check_content, describe_content, digest_of
from thalweg.artifacts.records import owner_of, put_key
from thalweg.bus.buckets import Bucket, Item, StaleWriteError
from thalweg.errors import RejectedError
from thalweg.graph.files import accepts_type
from thalweg_coordinator.api import Handler
from thalweg_coordinator.artifacts import COPY
from thalweg_coordinator.uses import Uses, refuse_bound

ANSWER_S = 2.0  # how long a registration is waited for; calls of a kind are answered one after the other
RESULT_KEPT_S = 30.0
CHECKS_AT_ONCE = 2
MAX_CHECKS = 1000
_PREFIX = "sha256:"
_Key = tuple[str, str, str, str]


class Files:
    """Handlers by call.

    Args:
        bucket: of the records.
        store: of the files.
        uses: where files are bound.
    """

    def __init__(self, bucket: Bucket, store: Store, uses: Uses) -> None:
        self._bucket, self._store, self._uses = bucket, store, uses
        self._checks: dict[_Key, asyncio.Task[ArtifactRecord]] = {}
        self._turns = asyncio.Semaphore(CHECKS_AT_ONCE)

    def handlers(self) -> dict[Call[Any, Any], Handler]:
        """By call of `thalweg.api.files`."""
        return {api.REGISTER: self.register, api.LIST: self.list_all, api.SHOW: self.show, api.REMOVE: self.remove}

    async def register(self, asked: api.Register) -> api.Registered:
        """Records an uploaded file, once its content is found to be what is said."""
        key = (asked.id, asked.type, asked.name, asked.owner)
        if key not in self._checks:
            if len(self._checks) >= MAX_CHECKS:
                raise RejectedError(f"{MAX_CHECKS:,} files are being checked", code="file.busy", hint="try again")
            self._checks[key] = asyncio.create_task(self._record(asked))
            self._checks[key].add_done_callback(lambda task: self._keep_for_a_while(key, task))
        check = self._checks[key]
        await asyncio.wait({check}, timeout=ANSWER_S)
        if not check.done():
            return api.Registered(file=None)
        self._checks.pop(key, None)
        return api.Registered(file=_file(check.result()))

    async def list_all(self, asked: api.ListFiles) -> api.FilesListed:
        """Files by id."""
        keys = [group[0] for digits, group in (await self._keys()).items() if digits > _key(asked.after)]
        found = await self._bucket.items(keys[: asked.limit])
        return api.FilesListed(files=[_file(_decode(key, body)) for key, body in found.items()], more=len(keys) > asked.limit)

    async def show(self, asked: api.WhichFile) -> api.FileShown:
        """A file, and where it is bound."""
        records = [_decode(key, item.value) for key, item in await self._find(asked.id) if item.value is not None]
        left = next((one.provenance for one in records if one.provenance is not None), None)
        return api.FileShown(
            file=_file(records[0]),
            facts=records[0].facts,
            provenance=left.model_dump(mode="json") if left is not None else None,
            uses=await self._uses.of_file(records[0].id),
        )

    async def remove(self, asked: api.RemoveFile) -> api.File:
        """Removes a file that nothing is bound to: its bytes, then its records, so that a removal broken off can be made again."""
        known = await self._find(asked.id)
        found = [one for one in known if lease_of(_decode(one[0], one[1].value or b"")) == asked.owner]
        key, item = (found or known)[0]
        record = _decode(key, item.value or b"")
        check_owner("file", _short(record.id), lease_of(record), asked.owner)
        refuse_bound(f"file {record.name} ({_short(record.id)})", await self._uses.of_file(record.id), "file.bound")
        await asyncio.to_thread(self._store.of_lease(asked.owner).remove, record.id)
        try:
            for key, item in reversed(found):
                await self._bucket.delete(key, item.revision)
        except StaleWriteError:
            raise RejectedError(f"file {record.name} was put again meanwhile", code="file.busy", hint="try again") from None
        return _file(record)

    async def _record(self, asked: api.Register) -> ArtifactRecord:
        async with self._turns:
            size_bytes, facts = await asyncio.to_thread(self._look_into, asked)
        key = put_key(asked.id, asked.owner)
        if asked.owner and (shared := (await self._bucket.get(_key(asked.id))).value) is not None:
            theirs = _decode(_key(asked.id), shared)
            if theirs.type == asked.type or accepts_type(asked.type, theirs.type):
                return theirs  # what the workspace has already, a lease just uses
        while True:
            item = await self._bucket.get(key)
            former = _decode(key, item.value) if item.value is not None else None
            if former is not None and former.type != asked.type and accepts_type(asked.type, former.type):
                return former  # what is known of it says more
            record = ArtifactRecord(
                id=asked.id,
                type=asked.type,
                name=asked.name,
                size_bytes=size_bytes,
                created=former.created if former is not None else datetime.now(UTC),
                owner=owner_of(asked.owner),
                facts=facts,
                provenance=former.provenance if former is not None else None,
            )
            if record == former:
                return former
            try:
                await self._bucket.put(key, record.model_dump_json().encode(), item.revision)
            except StaleWriteError:
                continue
            return record

    def _look_into(self, asked: api.Register) -> tuple[int, dict[str, Any]]:
        """Size and facts of a stored file of that type. Blocking."""
        store = self._store.of_lease(asked.owner)
        size_bytes = store.stored_size(asked.id)
        if size_bytes is None:
            raise RejectedError(f"{asked.name}: {asked.id} is not in the file store", code="artifact.unknown", hint="upload it first")
        path = store.fetch(asked.id, COPY)
        if digest_of(path) != Artifact(asked.id, size_bytes):
            raise RejectedError(f"{asked.name}: the file store holds other bytes under {asked.id}", code="artifact.corrupt")
        try:
            check_content(path, asked.type)
            return size_bytes, describe_content(path, asked.type)
        except RejectedError as error:
            what = str(error).replace(str(path), asked.name).removeprefix(f"{COPY}: ").removeprefix(f"{asked.name}: ")
            raise RejectedError(f"{asked.name}: {what}", code=error.code, hint=error.hint) from None

    async def _keys(self) -> dict[str, list[str]]:
        """Keys by the artifact's digits; the one that was put first, then those of runs."""
        found: dict[str, list[str]] = {}
        for key in await self._bucket.keys():
            found.setdefault(key.partition(".")[0], []).append(key)
        return found

    async def _find(self, text: str) -> list[tuple[str, Item]]:
        """Keys and records, at least one, of the artifact that an id or the beginning of one names."""
        found: dict[str, list[tuple[str, Item]]] = {}
        for digits, keys in (await self._keys()).items():
            if digits.startswith(_key(text)):
                records = [(key, item) for key in keys if (item := await self._bucket.get(key)).value is not None]
                found |= {digits: records} if records else {}
        if not found:
            raise RejectedError(f"there is no file {text}", code="file.unknown", hint="`thalweg file list` shows those there are")
        if len(found) > 1:
            names = ", ".join(digits[:20] for digits in list(found)[:8])
            raise RejectedError(f"{text} begins several ids: {names}", code="file.ambiguous", hint="give more digits")
        return next(iter(found.values()))

    def _keep_for_a_while(self, key: _Key, task: asyncio.Task[ArtifactRecord]) -> None:
        """A result waits for its caller to ask again, and no longer: the file may be removed meanwhile."""
        if task.cancelled():
            return
        task.exception()  # seen: asyncio does not warn of one that nobody comes back for
        asyncio.get_running_loop().call_later(RESULT_KEPT_S, lambda: self._checks.get(key) is task and self._checks.pop(key))


def lease_of(record: ArtifactRecord) -> str:
    """Which owns a file; "" for the workspace."""
    return record.owner.partition(":")[2]


def _key(artifact: str) -> str:
    return artifact.removeprefix(_PREFIX)


def _short(artifact: str) -> str:
    return _key(artifact)[:12]


def _decode(key: str, body: bytes) -> ArtifactRecord:
    try:
        return ArtifactRecord.model_validate_json(body)
    except ValidationError as error:
        raise RejectedError(f"the record of file {_short(key)} cannot be read", code="file.damaged") from error


def _file(record: ArtifactRecord) -> api.File:
    return api.File.model_validate(record.model_dump(include=set(api.File.model_fields)))
