"""What is known about an artifact beside its bytes."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, field_validator


class Provenance(BaseModel):
    """Which run left a generated file."""

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


def is_file_name(name: str) -> bool:
    """Whether it can name a file in a folder, and nothing else."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name
