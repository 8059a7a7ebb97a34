"""Calls about files: register what was uploaded, list, look at, remove."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from thalweg.api.calls import Call
from thalweg.api.leases import Leased
from thalweg.api.uses import Use
from thalweg.graph.fields import Digest, FileName, Name, Strict

MAX_LISTED = 1000
MIN_PREFIX = 8
FileId = Annotated[
    str,
    Field(
        pattern=rf"^(sha256:)?[0-9a-f]{{{MIN_PREFIX},64}}$", description=f"{MIN_PREFIX} to 64 of a file's hex digits, as `file list` shows"
    ),
]
"""An artifact's id, or so many of its first hex digits that no other file begins with them."""


class Register(Leased):
    """An artifact that is in the store. Its size and facts are not asked for: the coordinator looks itself."""

    id: Digest
    type: Name
    name: FileName


class File(Strict):
    """An artifact of the workspace, without its facts; see `thalweg.artifacts.ArtifactRecord`."""

    id: Digest
    type: str
    name: str
    size_bytes: int
    created: AwareDatetime
    owner: str


class Registered(Strict):
    """The file as it is recorded; None while its content is being checked: ask again."""

    file: File | None


class WhichFile(Strict):
    """A file by its id, whole or shortened."""

    id: FileId


class RemoveFile(Leased):
    """A file to remove, by its id, whole or shortened."""

    id: FileId


class ListFiles(Strict):
    """Files by id, those behind `after`, at most `limit`."""

    after: str = Field("", max_length=71)
    limit: int = Field(MAX_LISTED, ge=1, le=MAX_LISTED)


class FilesListed(Strict):
    """Files by id."""

    files: list[File]
    more: bool


class FileShown(Strict):
    """A file, what its content says, who left it, where it is bound."""

    file: File
    facts: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] | None = None
    uses: list[Use]


REGISTER = Call("file", "register", Register, Registered)
LIST = Call("file", "list", ListFiles, FilesListed)
SHOW = Call("file", "show", WhichFile, FileShown)
REMOVE = Call("file", "remove", RemoveFile, File)
