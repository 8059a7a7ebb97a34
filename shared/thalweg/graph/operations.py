"""The operations: every edit that a backend's log can hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from thalweg.graph.backend import Backend
from thalweg.graph.shape_edits import (
    AddExpectation,
    AddVertex,
    Connect,
    Disconnect,
    RemoveAlias,
    RemoveExpectation,
    RemoveVertex,
    RenameVertex,
    SetAlias,
)
from thalweg.graph.vertex_edits import (
    BindFile,
    BindSecret,
    PinRelease,
    SetGenerated,
    SetOnError,
    SetParam,
    SetPartitions,
    UnbindFile,
    UnbindSecret,
    UnsetParam,
)

__all__ = [
    "AddExpectation",
    "AddVertex",
    "BindFile",
    "BindSecret",
    "Connect",
    "Disconnect",
    "Operation",
    "PinRelease",
    "RemoveAlias",
    "RemoveExpectation",
    "RemoveVertex",
    "RenameVertex",
    "SetAlias",
    "SetGenerated",
    "SetOnError",
    "SetParam",
    "SetPartitions",
    "UnbindFile",
    "UnbindSecret",
    "UnsetParam",
    "apply",
]

Operation = Annotated[
    AddVertex
    | RemoveVertex
    | RenameVertex
    | Connect
    | Disconnect
    | AddExpectation
    | RemoveExpectation
    | SetAlias
    | RemoveAlias
    | SetParam
    | UnsetParam
    | BindFile
    | UnbindFile
    | BindSecret
    | UnbindSecret
    | SetGenerated
    | PinRelease
    | SetPartitions
    | SetOnError,
    Field(discriminator="op"),
]
"""One edit, as it is sent and stored: told apart by its field `op`."""


def apply(backend: Backend, operations: Iterable[Operation]) -> Backend:
    """The backend after all of the operations in turn; the one given stays as it is.

    Raises:
        RejectedError: one of them does not fit (`operation.…`, `backend.invalid`), so that none is applied.
    """
    for operation in operations:
        backend = operation.apply(backend)
    return backend
