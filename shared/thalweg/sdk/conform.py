"""Makes emitted values canonical: right types, declared field order, floats as floats; anything else is an error with its path."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from pydantic import BaseModel

from thalweg.graph import types as st
from thalweg.sdk.adopt import has_plain_layout
from thalweg.sdk.canonical import canonical, plain
from thalweg.sdk.records import python_type
from thalweg.sdk.values import RecordError

Conform = Callable[[Any], Any]
_EXACT: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str, "bytes": bytes}


def conformer(stream_type: st.StreamType, port: str) -> Conform:
    """A function that returns a value ready to encode canonically as `stream_type`.

    Instances of the record's own class whose fields have exactly the declared scalar types pass at the cost of a type
    check per field; everything else goes through msgspec's conversion, which also turns int into float where declared.

    Raises (the returned function):
        RecordError: the value is not of the port's type; names port and path.
    """
    target = python_type(stream_type)
    settle = canonical(stream_type)

    def convert(value: Any) -> Any:
        try:
            found = _convert(value, target)
            return found if settle is None else settle(found)
        except (msgspec.ValidationError, TypeError) as error:
            raise RecordError(
                f"port {port} emits {st.format_type(stream_type)}, but the component gave {_shown(value)}: {error}"
            ) from error

    if isinstance(stream_type, st.Record):
        return _record_conformer(stream_type, convert)
    if isinstance(stream_type, st.ImageType):
        return lambda value: value if type(value) is target and stream_type.format in (None, value.format) else convert(value)
    return convert


def _record_conformer(record: st.Record, convert: Conform) -> Conform:
    """A check written out per field, since it runs once for every record that leaves a vertex."""
    names = [name for name, _ in record.fields]
    tests = [_exact_test(f"value.{name}", kind) or f"deep_{index}(value.{name})" for index, (name, kind) in enumerate(record.fields)]
    scope: dict[str, Any] = {f"deep_{index}": _deep_test(kind) for index, (_, kind) in enumerate(record.fields)}
    scope |= {f"only_{name}": frozenset((item,)) for name, item in _EXACT.items()}
    scope |= {"convert": convert, "own": _OwnClasses(tuple(names))}
    fits = " and ".join(["own[type(value)]", *tests])
    exec(f"def conform(value):\n    if {fits}:\n        return value\n    return convert(value)\n", scope)
    return scope["conform"]  # type: ignore[no-any-return]


class _OwnClasses(dict[type, bool]):
    """By class: whether it travels as the record does: its fields, in its order."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, kind: type) -> bool:
        fields = getattr(kind, "__dataclass_fields__", ()) or getattr(kind, "__struct_fields__", ())
        self[kind] = tuple(fields) == self._names and has_plain_layout(kind)
        return self[kind]


def _exact_test(expression: str, kind: st.StreamType) -> str | None:
    """An expression that is true when a value is canonical as it stands; None where no short one is known."""
    match kind:
        case st.Scalar(name) if name in _EXACT:
            return f"type({expression}) is {name}"
        case st.ListOf(st.Scalar(name)) if name in _EXACT:
            return f"(type({expression}) is list and only_{name}.issuperset(map(type, {expression})))"
        case st.OptionalOf(item) if inner := _exact_test(expression, item):
            return f"({expression} is None or {inner})"
    return None


def _deep_test(kind: st.StreamType) -> Callable[[Any], bool]:
    """Whether a nested value is canonical as it stands; False sends the record through conversion, so it may be strict."""
    match kind:
        case st.OptionalOf(item_type):
            inner = _deep_test(item_type)
            return lambda value: value is None or inner(value)
        case st.Scalar("timestamp"):
            return lambda value: type(value) is datetime and value.tzinfo is not None
        case st.Scalar("duration"):
            return lambda value: type(value) is timedelta
        case st.ImageType():
            image = python_type(kind)
            return lambda value: type(value) is image
    return lambda value: False


def _convert(value: Any, target: Any) -> Any:
    if isinstance(value, BaseModel):
        value = value.model_dump()
    try:
        return msgspec.convert(value, target, from_attributes=True)
    except (msgspec.ValidationError, TypeError):
        return msgspec.convert(plain(value), target, from_attributes=True)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
