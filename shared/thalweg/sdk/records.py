"""Python types for stream types: what the wire is decoded into where an author's own class does not say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Optional, Union

import msgspec

from thalweg.graph import types as st
from thalweg.sdk.values import Audio, Image

_SCALARS: dict[str, Any] = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "bytes": bytes,
    "timestamp": datetime,
    "duration": timedelta,
    "json": Any,
}


class Tensor(msgspec.Struct, frozen=True):
    """An array as it travels: numpy's name of its dtype, its shape, its rows in C order, little endian."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


@lru_cache(maxsize=1024)
def python_type(stream_type: st.StreamType) -> Any:
    """A type that msgspec decodes a value of `stream_type` into: records become Structs with its fields."""
    match stream_type:
        case st.Scalar(name):
            return _SCALARS[name]
        case st.ListOf(item):
            return list[python_type(item)]  # type: ignore[misc]
        case st.MapOf(value):
            return dict[str, python_type(value)]  # type: ignore[misc]
        case st.OptionalOf(item):
            return Optional[python_type(item)]  # noqa: UP045
        case st.UnionOf(options):
            return Union[tuple(python_type(option) for option in options)]  # noqa: UP007
        case st.TupleOf(items):
            return tuple[tuple(python_type(item) for item in items)]  # type: ignore[misc]
        case st.ImageType():
            return Image
        case st.AudioType():
            return Audio
        case st.TensorType():
            return Tensor
        case st.TableOf(fields):
            return list[python_type(st.Record(fields))]  # type: ignore[misc]
        case st.Record(fields, name):
            return record_struct(name or "Record", fields)
    return Any


def record_struct(name: str, fields: tuple[tuple[str, st.StreamType], ...]) -> type[msgspec.Struct]:
    """A Struct class with these fields, in this order; every optional field defaults to None, wherever it stands."""
    specs: list[Any] = []
    is_after_default = False
    for field, field_type in fields:
        if isinstance(field_type, st.OptionalOf):
            is_after_default = True
            specs.append((field, python_type(field_type), None))
        elif is_after_default:  # Python allows no required field here, so this default is a refusal
            specs.append((field, python_type(field_type), msgspec.field(default_factory=_required(field))))
        else:
            specs.append((field, python_type(field_type)))
    return msgspec.defstruct(name, specs, module="thalweg.records")


def _required(field: str) -> Callable[[], Any]:
    def refuse() -> Any:
        raise msgspec.ValidationError(f"Object missing required field `{field}`")

    return refuse
