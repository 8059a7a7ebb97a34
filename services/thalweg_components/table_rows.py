"""Which field of a record goes into which column of which table, for sinks that write rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from thalweg import RejectedError
from thalweg.graph.types import Record, StreamType, format_type

MAX_NAMES = 256


class TableParams(BaseModel):
    """Where the rows go."""

    model_config = ConfigDict(extra="forbid")

    table: str = Field(pattern=r"^[^\x00.]{1,63}(\.[^\x00.]{1,63})?$", description="name of the table, or schema.table")
    columns: dict[str, str] | None = Field(None, max_length=MAX_NAMES, description="field: column; without it, all fields by their names")
    keys: list[str] = Field([], max_length=MAX_NAMES, description="columns that tell rows apart: a row that is there is replaced")
    give_up_after_s: float | None = Field(None, gt=0, description="of an outage; without it, it is waited out")

    @model_validator(mode="after")
    def _fits(self) -> TableParams:
        names = list((self.columns or {}).values())
        if len(set(names)) != len(names):
            raise ValueError("columns: two fields go into one column")
        if names and (strange := [one for one in self.keys if one not in names]):
            raise ValueError(f"keys: {strange[0]} is not among the columns")
        return self


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is written: its name, and the type of the field that goes there."""

    name: str
    kind: StreamType


def columns_of(kind: StreamType, params: TableParams) -> tuple[list[Column], Callable[[Any], tuple[Any, ...]]]:
    """The columns that are written, and what gives a record's values for them.

    Raises:
        RejectedError: `params.invalid`, these records do not have such fields.
    """
    if not isinstance(kind, Record):
        raise RejectedError(f"rows are made of records, not of {format_type(kind)}", code="params.invalid")
    kinds = dict(kind.fields)
    names = params.columns if params.columns is not None else {name: name for name in kinds}
    for field in names:
        if field not in kinds:
            raise RejectedError(f"columns: {format_type(kind)} has no field {field}", code="params.invalid")
    found = [Column(column, kinds[field]) for field, column in names.items()]
    if not found:
        raise RejectedError("columns: there is none", code="params.invalid")
    for key in params.keys:
        if key not in names.values():
            raise RejectedError(f"keys: no field goes into {key}", code="params.invalid", hint=f"columns: {', '.join(names.values())}")
    read = attrgetter(*names)
    return found, (lambda record: (read(record),)) if len(found) == 1 else read
