"""One form for equal values: times in UTC, keys of maps in order, plain Python scalars."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from pydantic import BaseModel

from thalweg.graph import types as st

Settle = Callable[[Any], Any]
_KEPT = (bytes, datetime, timedelta)


def canonical(kind: st.StreamType) -> Settle | None:
    """A function from a value of the type to the one form of it that is encoded; None where every value is in it already."""
    match kind:
        case st.Scalar("timestamp"):
            return lambda value: value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        case st.Scalar("str"):
            return lambda value: value if type(value) is str else str(value)
        case st.Scalar("json") | st.Variable():
            return _json
        case st.OptionalOf(item):
            return _optional(canonical(item))
        case st.ListOf(item):
            inner = canonical(item)
            return None if inner is None else lambda values: list(map(inner, values))
        case st.MapOf(item):
            return _map(canonical(item))
        case st.TableOf(fields):
            return canonical(st.ListOf(st.Record(fields)))
        case st.Record(fields):
            return _record(fields)
        case st.TupleOf(items):
            settles = [canonical(one) or _same for one in items]
            return lambda values: tuple(settle(value) for settle, value in zip(settles, values, strict=True))
        case st.UnionOf(options):
            return _union(options)
    return None


def plain(value: Any) -> Any:
    """The value with what msgspec does not take replaced: models by dicts, numpy's scalars and arrays by Python's, at any depth."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if type(value).__module__ == "numpy":
        return value.tolist()
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


def _same(value: Any) -> Any:
    return value


def _json(value: Any) -> Any:
    try:
        return msgspec.to_builtins(value, order="deterministic", builtin_types=_KEPT)
    except TypeError:
        return msgspec.to_builtins(plain(value), order="deterministic", builtin_types=_KEPT)


def _optional(inner: Settle | None) -> Settle | None:
    return None if inner is None else lambda value: None if value is None else inner(value)


def _map(inner: Settle | None) -> Settle:
    if inner is None:
        return lambda value: dict(sorted(value.items()))
    return lambda value: {key: inner(value[key]) for key in sorted(value)}


def _record(fields: tuple[tuple[str, st.StreamType], ...]) -> Settle | None:
    settles = [(name, settle) for name, kind in fields if (settle := canonical(kind))]
    if not settles:
        return None

    def settle_fields(record: Any) -> Any:
        changed = {}
        for name, settle in settles:
            value = getattr(record, name)
            settled = settle(value)
            if settled is not value:
                changed[name] = settled
        return msgspec.structs.replace(record, **changed) if changed else record

    return settle_fields


def _union(options: tuple[st.StreamType, ...]) -> Settle | None:
    """By the value's looks, of which a union's options have one each."""
    by_look = {look: settle for one in options for look in _looks(one) if (settle := canonical(one))}
    return (lambda value: by_look.get(_look(value), _same)(value)) if by_look else None


def _looks(option: st.StreamType) -> tuple[str, ...]:
    match option:
        case st.OptionalOf(item):
            return _looks(item)
        case st.UnionOf(options):
            return tuple(look for one in options for look in _looks(one))
        case st.Scalar("json") | st.Variable():
            return ("text", "time", "list", "map", "record")
        case st.Scalar("str"):
            return ("text",)
        case st.Scalar("timestamp"):
            return ("time",)
        case st.ListOf() | st.TupleOf() | st.TableOf():
            return ("list",)
        case st.MapOf():
            return ("map",)
    return ("record",)


def _look(value: Any) -> str:
    looks = ((str, "text"), (datetime, "time"), ((list, tuple), "list"), (dict, "map"), (msgspec.Struct, "record"))
    return next((look for kind, look in looks if isinstance(value, kind)), "")
