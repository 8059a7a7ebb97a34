"""flatten: brings the fields of nested records to the top."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, component
from thalweg.errors import RejectedError
from thalweg.graph.types import OptionalOf, Record, StreamType, format_type
from thalweg_components.names import check_names

In = TypeVar("In")
Out = TypeVar("Out")
Take = Callable[[Any], Any]
MAX_FIELDS = 10_000


class Params(BaseModel):
    """How far, and under which names."""

    model_config = ConfigDict(extra="forbid")

    separator: str = Field("_", pattern="^[A-Za-z0-9_]{0,8}$", description="between the names of the outer and the inner field")
    depth: int = Field(32, ge=1, le=32, description="levels of nested records that are brought up")


@component("flatten", version="1.0.0")
class Flatten:
    """Brings the fields of nested records to the top: `{pos: {x, y}}` becomes `{pos_x, pos_y}`.

    **Ports**: `in` takes records. `out` emits a record in which each nested one is replaced by its fields, where it stood. Lists,
    maps, images and json values stay as they are.

    **Params**: `separator` (between the names, `_`), `depth` (levels that are brought up, by default all).

    **Nulls**: the fields of a nested record that may be null become `T?`, and are null where it is.

    **Faults**: an input that is no record, and two fields that would have one name, are rejected before it runs.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The flat record."""
        source = inputs["in"]
        if not isinstance(source, Record):
            raise RejectedError(f"{format_type(source)} is no record", code="type.unsupported", hint="flatten works on records")
        fields = [(name, kind) for name, kind, _ in _flat(source, params, "", params.depth, lambda record: record)]
        if len(fields) > MAX_FIELDS:
            raise RejectedError(f"{len(fields)} fields are too many; {MAX_FIELDS} are allowed", code="type.unsupported")
        check_names((name for name, _ in fields), "output")
        return {"out": Record(tuple(fields))}

    def setup(self, context: Context) -> None:
        """Works out where each field comes from."""
        source = context.input_type("in")
        found = _flat(source, self.params, "", self.params.depth, lambda record: record) if isinstance(source, Record) else ()
        self._takes = [take for _, _, take in found]
        self._class = context.record_class("out")

    def process(self, record: In) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The flat record."""
        return self._class(*[take(record) for take in self._takes])  # type: ignore[no-any-return]


def _flat(record: Record, params: Params, prefix: str, depth: int, base: Take) -> Iterator[tuple[str, StreamType, Take]]:
    for name, kind in record.fields:
        inner, take = kind.item if isinstance(kind, OptionalOf) else kind, _getter(base, name)
        if not isinstance(inner, Record) or depth == 0:
            yield prefix + name, kind, take
            continue
        for field, field_kind, field_take in _flat(inner, params, f"{prefix}{name}{params.separator}", depth - 1, take):
            is_new = isinstance(kind, OptionalOf) and not isinstance(field_kind, OptionalOf)
            yield field, OptionalOf(field_kind) if is_new else field_kind, field_take


def _getter(base: Take, name: str) -> Take:
    def take(record: Any) -> Any:
        held = base(record)
        return None if held is None else getattr(held, name)

    return take
