"""What converters have in common: they change a whole value, or one field of a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thalweg import Context, RecordError
from thalweg.errors import RejectedError
from thalweg.graph.types import OptionalOf, Record, StreamType, format_type

ChangeType = Callable[[StreamType], StreamType]


def changed_type(source: StreamType, field: str | None, change: ChangeType) -> StreamType:
    """The type after `change` of the whole, or of one field of a record; what is null stays null.

    Raises:
        RejectedError: there is no such field, or `change` refuses its type.
    """
    if field is None:
        return _changed(source, change)
    if not isinstance(source, Record) or field not in dict(source.fields):
        known = ", ".join(name for name, _ in source.fields) if isinstance(source, Record) else "none"
        raise RejectedError(f"field: there is no field {field!r}", code="params.invalid", hint=f"known fields: {known}")
    return Record(tuple((name, _changed(kind, change) if name == field else kind) for name, kind in source.fields), source.name)


def _changed(kind: StreamType, change: ChangeType) -> StreamType:
    return OptionalOf(change(kind.item)) if isinstance(kind, OptionalOf) else change(kind)


def one_of(*kinds: StreamType, gives: StreamType) -> ChangeType:
    """A change that takes these types only."""

    def change(kind: StreamType) -> StreamType:
        if kind not in kinds:
            raise RejectedError(f"{format_type(kind)} is not {' or '.join(map(format_type, kinds))}", code="type.unsupported")
        return gives

    return change


class OneField:
    """Applies a change to the values that `changed_type` has found the type of.

    Args:
        field: the field, or None for the whole.
        context: knows the output's class.
        change: of one value that is not null; it may raise RecordError.
    """

    def __init__(self, field: str | None, context: Context, change: Callable[[Any], Any]) -> None:
        self._field, self._change = field, change
        self._class = context.record_class("out")

    def apply(self, record: Any) -> Any:
        """The changed value, or the record with its changed field."""
        if self._field is None:
            return None if record is None else self._change(record)
        held = getattr(record, self._field)
        try:
            changed = None if held is None else self._change(held)
        except RecordError as error:
            raise RecordError(str(error), where=f"field {self._field}", hint=error.hint) from error
        names = self._class.__struct_fields__
        return self._class(*(changed if name == self._field else getattr(record, name) for name in names))
