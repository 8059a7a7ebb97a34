"""Answers calls about replays: lists those that evidence or records of windows name, has windows saved."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from pydantic import ValidationError

from thalweg.api import replays as api
from thalweg.api.calls import Call, Nothing
from thalweg.api.deployments import KeptWindow
from thalweg.artifacts.records import WINDOW, ArtifactRecord
from thalweg.bus.buckets import Bucket
from thalweg.bus.captures import CaptureNotes
from thalweg.bus.connection import Client
from thalweg.bus.deployments import load_deployment, log_state
from thalweg.errors import RejectedError
from thalweg.wire import subjects
from thalweg.wire.capturing import SaveRequest
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.api import Handler
from thalweg_coordinator.teardown import Records

MAX_WAITING = 8  # windows of one deployment that are asked for and not saved yet
ASKED_FOR = "asked for"


class Replays:
    """Handlers by call.

    Args:
        client: NATS connection.
        workspace: whose.
    """

    def __init__(self, client: Client, workspace: str) -> None:
        self._client, self._workspace = client, workspace
        self._records, self._artifacts = Records(client, workspace), Bucket(client, subjects.bucket(workspace, "artifacts"))

    def handlers(self) -> dict[Call[Any, Any], Handler]:
        """By call of `thalweg.api.replays`."""
        return {api.LIST: self.list_all, api.SAVE: self.save, api.SAVED: self.saved}

    async def list_all(self, asked: Nothing) -> api.ReplayItems:
        """Of all evidence, and windows, oldest first; runs that were not captured are left out."""
        found = [
            api.ReplayItem(
                evidence=one["id"],
                deployment=one["deployment"],
                backend=one["backend"],
                finished_ns=one["finished_ns"],
                window=one["replay"].get("window", False),
                **{name: one["replay"][name] for name in ("artifact", "size_bytes", "complete", "reason")},
            )
            for one in await self._records.all_evidence()
            if one.get("replay")
        ]
        return api.ReplayItems(replays=sorted([*found, *await self._windows()], key=lambda one: one.finished_ns))

    async def save(self, asked: api.Save) -> api.Saving:
        """Asks the capture of a deployment for what it has."""
        spec = await self._ring(asked.name)
        notes = CaptureNotes(self._client, spec)
        if (over := await notes.result()) is not None:
            raise RejectedError(
                f"the last part of {asked.name} is not kept any more: {over.reason or 'it has ended'}", code="replay.no_ring"
            )
        if len(await notes.requests()) >= MAX_WAITING:
            raise RejectedError(f"{MAX_WAITING} windows of {asked.name} are being saved", code="replay.busy", hint="try again")
        state = await log_state(self._client, self._workspace, spec.name)
        request = SaveRequest(secrets.token_hex(4), spec.deployed_ns, state[1] if state is not None else 0, ASKED_FOR)
        await notes.request(request)
        return api.Saving(name=spec.name, id=request.id)

    async def saved(self, asked: api.Saving) -> api.Saved:
        """What became of that."""
        spec = await self._ring(asked.name)
        noted = await CaptureNotes(self._client, spec).ring()
        found = next((one for one in noted.saved if one.id == asked.id), None)
        return api.Saved(window=KeptWindow.model_validate(msgspec.to_builtins(found)) if found is not None else None)

    async def _ring(self, name: str) -> DeploymentSpec:
        spec = await load_deployment(self._client, self._workspace, name)
        if not spec.capture_last_s:
            hint = "`thalweg deploy --capture-last 10m` keeps it"
            raise RejectedError(f"the last part of {name} is not kept", code="replay.no_ring", hint=hint)
        return spec

    async def _windows(self) -> list[api.ReplayItem]:
        found = []
        for body in (await self._artifacts.items()).values():
            try:
                record = ArtifactRecord.model_validate_json(body)
            except ValidationError:
                continue  # `thalweg file list` tells of it
            if record.provenance is not None and record.provenance.slot == WINDOW:
                found.append(_item(record, record.provenance.deployment))
        return found


def _item(record: ArtifactRecord, deployment: str) -> api.ReplayItem:
    fields = ("backend", "complete", "reason", "cause", "from_ns", "to_ns")
    return api.ReplayItem.model_validate(
        {
            **{name: record.facts[name] for name in fields},
            "evidence": "",
            "deployment": deployment,
            "finished_ns": int(record.created.timestamp() * 1e9),
            "artifact": record.id,
            "size_bytes": record.size_bytes,
            "window": True,
        }
    )
