"""Params that name a field of the records that arrive."""

from __future__ import annotations

from thalweg import RejectedError
from thalweg.graph.types import Record, StreamType, format_type


def check_field(kind: StreamType, field: str | None, param: str) -> StreamType:
    """Type of a field, or of the whole where none is named.

    Raises:
        RejectedError: `params.invalid`, there is no such field.
    """
    if field is None:
        return kind
    found = dict(kind.fields).get(field) if isinstance(kind, Record) else None
    if found is None:
        raise RejectedError(f"{param}: {format_type(kind)} has no field {field}", code="params.invalid")
    return found
