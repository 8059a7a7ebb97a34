"""What is known about an artifact beside its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, field_validator

from thalweg.artifacts.digests import hex_of
from thalweg.wire.capturing import Captured, SavedWindow
from thalweg.wire.commit import Commit
from thalweg.wire.log_record import KeptLogs
from thalweg.wire.spec import DeploymentSpec
from thalweg.wire.subjects import owned_key

WINDOW = "window"  # `Provenance.slot` of a window of a run that was saved
PUT = "put"  # token of the record of a file that was put under a lease


class Provenance(BaseModel):
    """Which run left a generated file; of a replay, without a vertex and a release."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deployment: str
    vertex: str
    slot: str
    release: str = Field(description="name@version")
    revision: int | None = Field(None, ge=0, description="of the backend")


class ArtifactRecord(BaseModel):
    """A named, typed artifact of a workspace; several records may name the same bytes.

    Attributes:
        id: of the bytes.
        type: artifact type, as `check_content` has let pass.
        name: file name, not a path.
        size_bytes: of what is stored.
        created: when it was put.
        owner: `workspace`, or `lease:<id>` until it is promoted.
        facts: as `describe_content` gives them.
        provenance: of a generated file; None for one that was put.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    type: str
    name: str
    size_bytes: int = Field(ge=0)
    created: AwareDatetime
    owner: str = Field("workspace", pattern=r"^(workspace|lease:[A-Za-z0-9_-]+)$")
    facts: dict[str, JsonValue] = {}
    provenance: Provenance | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not is_file_name(name):
            raise ValueError("not a file name")
        return name


def owner_of(lease: str) -> str:
    """`ArtifactRecord.owner` for a lease, "" for the workspace."""
    return f"lease:{lease}" if lease else "workspace"


def put_key(artifact_id: str, lease: str) -> str:
    """Key of the record of a file that was put."""
    return owned_key(f"{hex_of(artifact_id)}.{PUT}", lease) if lease else hex_of(artifact_id)


def records_of_run(
    spec: DeploymentSpec, commits: Mapping[str, Commit], created: datetime, captured: Captured | None = None
) -> dict[str, ArtifactRecord]:
    """Records, by key, of the files that the vertices of a deployment have generated, and of its replay."""
    vertices, found = {one.name: one for one in spec.vertices}, dict[str, ArtifactRecord]()
    for vertex, commit in commits.items():
        for slot, generated in commit.generated.items():
            pinned = vertices[vertex]
            found[_run_key(spec, generated.artifact, f"{vertex}/{slot}")] = ArtifactRecord(
                id=generated.artifact,
                type=pinned.generated_types.get(slot, "bytes"),
                name=generated.name,
                size_bytes=generated.size_bytes,
                created=created,
                owner=owner_of(spec.lease),
                provenance=Provenance(
                    deployment=spec.name, vertex=vertex, slot=slot, release=pinned.component, revision=spec.revision or None
                ),
            )
    if captured is not None and captured.artifact is not None:
        found |= _record_of_whole(spec, captured.artifact, captured.size_bytes, "replay", f"{spec.name}.mcap", "replay", created)
    return found


def record_of_logs(spec: DeploymentSpec, logs: KeptLogs, created: datetime) -> dict[str, ArtifactRecord]:
    """The record, by key, of what the vertices of a deployment have logged."""
    return _record_of_whole(spec, logs.artifact, logs.size_bytes, "jsonl", f"{spec.name}-logs.jsonl", "logs", created)


def record_of_window(spec: DeploymentSpec, saved: SavedWindow, created: datetime) -> dict[str, ArtifactRecord]:
    """The record, by key, of a window of a deployment's log; none where it has no artifact."""
    captured = saved.captured
    if captured.artifact is None:
        return {}
    found = _record_of_whole(spec, captured.artifact, captured.size_bytes, "replay", f"{spec.name}-{saved.id}.mcap", WINDOW, created)
    facts: dict[str, JsonValue] = {
        "backend": spec.backend,
        "id": saved.id,
        "cause": saved.cause,
        "first": saved.first,
        "last": saved.last,
        "from_ns": saved.from_ns,
        "to_ns": saved.to_ns,
        "complete": captured.complete,
        "reason": captured.reason,
    }
    return {key: record.model_copy(update={"facts": facts}) for key, record in found.items()}


def _record_of_whole(
    spec: DeploymentSpec, artifact: str, size_bytes: int, kind: str, name: str, what: str, created: datetime
) -> dict[str, ArtifactRecord]:
    record = ArtifactRecord(
        id=artifact,
        type=kind,
        name=name,
        size_bytes=size_bytes,
        created=created,
        owner=owner_of(spec.lease),
        provenance=Provenance(deployment=spec.name, vertex="", slot=what, release="", revision=spec.revision or None),
    )
    return {_run_key(spec, artifact, what): record}


def _run_key(spec: DeploymentSpec, artifact_id: str, what: str) -> str:
    token = hashlib.sha256(f"{spec.name}/{spec.deployed_ns}/{what}".encode()).hexdigest()[:32]
    return owned_key(f"{hex_of(artifact_id)}.{token}", spec.lease)


def is_file_name(name: str) -> bool:
    """Whether it can name a file in a folder, and nothing else."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name
