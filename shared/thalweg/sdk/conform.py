"""Makes emitted values canonical: right types, declared field order, floats as floats; anything else is an error with its path."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from pydantic import BaseModel

from thalweg.graph import types as st
from thalweg.graph.field_names import is_field_name
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

    fits, scope = exact_test("value", stream_type)
    scope["convert"] = convert
    exec(f"def conform(value):\n    return value if {fits} else convert(value)\n", scope)
    conform: Conform = scope["conform"]
    return conform


def exact_test(expression: str, stream_type: st.StreamType) -> tuple[str, dict[str, Any]]:
    """Source of a test whether a value is canonical as it stands, and the names it needs; it runs once for every record.

    Args:
        expression: source of the value.
        stream_type: what it is to be.
    """
    scope: dict[str, Any] = {f"only_{name}": frozenset((item,)) for name, item in _EXACT.items()}
    names = [name for name, _ in stream_type.fields] if isinstance(stream_type, st.Record) else []
    if not isinstance(stream_type, st.Record) or not all(map(is_field_name, names)):
        scope["is_exact"] = _deep_test(stream_type)
        return _exact_test(expression, stream_type) or f"is_exact({expression})", scope
    scope["own"] = _OwnClasses(tuple(names))
    tests = [f"own[type({expression})]"]
    for index, (name, kind) in enumerate(stream_type.fields):
        scope[f"deep_{index}"] = _deep_test(kind)
        tests.append(_exact_test(f"{expression}.{name}", kind) or f"deep_{index}({expression}.{name})")
    return "(" + " and ".join(tests) + ")", scope


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
        case st.ImageType(image_format):
            image = python_type(kind)
            return lambda value: type(value) is image and image_format in (None, value.format)
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
