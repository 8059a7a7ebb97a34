"""Makes emitted values canonical: right types, declared field order, floats as floats; anything else is an error with its path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from pydantic import BaseModel

from thalweg.graph import types as st
from thalweg.sdk.records import python_type
from thalweg.sdk.values import RecordError

Conform = Callable[[Any], Any]
_EXACT = {"bool": "bool", "int": "int", "float": "float", "str": "str", "bytes": "bytes"}


def conformer(stream_type: st.StreamType, port: str) -> Conform:
    """A function that returns a value ready to encode canonically as `stream_type`.

    Instances of the record's own class whose fields have exactly the declared scalar types pass at the cost of a type
    check per field; everything else goes through msgspec's conversion, which also turns int into float where declared.

    Raises (the returned function):
        RecordError: the value is not of the port's type; names port and path.
    """
    if isinstance(stream_type, (st.Variable,)) or stream_type == st.JSON:
        return _plain
    target = python_type(stream_type)

    def convert(value: Any) -> Any:
        try:
            return msgspec.convert(_plain(value), target, from_attributes=True)
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
    tests = [
        f"type(value.{name}) is {_EXACT[kind.name]}" for name, kind in record.fields if isinstance(kind, st.Scalar) and kind.name in _EXACT
    ]
    tests += [
        f"deep_{index}(value.{name})"
        for index, (name, kind) in enumerate(record.fields)
        if not (isinstance(kind, st.Scalar) and kind.name in _EXACT)
    ]
    if not all(name.isidentifier() for name in names):
        return convert
    scope: dict[str, Any] = {f"deep_{index}": _deep_test(kind) for index, (_, kind) in enumerate(record.fields)}
    scope |= {"convert": convert, "is_own": _own_class_test(tuple(names))}
    fits = " and ".join(["is_own(type(value))", *tests])
    source = f"def conform(value):\n    if {fits}:\n        return value\n    return convert(value)\n"
    exec(source, scope)
    return scope["conform"]  # type: ignore[no-any-return]


def _own_class_test(names: tuple[str, ...]) -> Callable[[type], bool]:
    known: dict[type, bool] = {}

    def is_own(kind: type) -> bool:
        found = known.get(kind)
        if found is None:
            fields = getattr(kind, "__dataclass_fields__", ()) or getattr(kind, "__struct_fields__", ())
            found = known[kind] = tuple(fields) == names
        return found

    return is_own


def _deep_test(kind: st.StreamType) -> Callable[[Any], bool]:
    """Whether a nested value is canonical as it stands; False sends the record through conversion, so it may be strict."""
    match kind:
        case st.ListOf(st.Scalar(name)) if name in _EXACT:
            item = python_type(st.Scalar(name))
            return lambda value: type(value) is list and all(type(one) is item for one in value)
        case st.OptionalOf(item_type):
            inner = _deep_test(item_type)
            return lambda value: value is None or inner(value)
        case st.Scalar(name) if name in _EXACT or name in ("timestamp", "duration"):
            exact = python_type(kind)
            return lambda value: type(value) is exact
        case st.ImageType():
            image = python_type(kind)
            return lambda value: type(value) is image
    return lambda value: False


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
