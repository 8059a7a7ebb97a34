"""The JSON Schema (2020-12) of a stream type: what its values look like in any language.

Values travel as msgpack, which has bytes and times where JSON has none. Such places carry `x-msgpack`: `bin` for bytes, `timestamp`
for the timestamp extension; elsewhere the msgpack value is what the JSON value says.
"""

from __future__ import annotations

from typing import Any

from thalweg.graph.types import (
    AudioType,
    ImageType,
    ListOf,
    MapOf,
    OptionalOf,
    Record,
    Scalar,
    StreamType,
    TableOf,
    TensorType,
    TupleOf,
    UnionOf,
    Variable,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_BYTES: dict[str, Any] = {"type": "string", "contentEncoding": "base64", "x-msgpack": "bin"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 1}
_SCALARS: dict[str, dict[str, Any]] = {
    "bool": {"type": "boolean"},
    "int": {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "bytes": _BYTES,
    "timestamp": {"type": "string", "format": "date-time", "x-msgpack": "timestamp"},
    "duration": {"type": "string", "format": "duration"},
    "json": {},
}


def json_schema(kind: StreamType) -> dict[str, Any]:
    """The schema, without `$schema`; `DIALECT` says which it is one of."""
    match kind:
        case Scalar(name):
            return dict(_SCALARS[name])
        case Variable():
            return {}
        case ListOf(item):
            return {"type": "array", "items": json_schema(item)}
        case MapOf(value):
            return {"type": "object", "additionalProperties": json_schema(value)}
        case TupleOf(items):
            count = len(items)
            return {"type": "array", "prefixItems": [json_schema(one) for one in items], "items": False, "minItems": count}
        case OptionalOf(item):
            return {"anyOf": [json_schema(item), {"type": "null"}]}
        case UnionOf(options):
            return {"anyOf": [json_schema(one) for one in options]}
        case Record(fields, name):
            return _object(fields) | ({"title": name} if name else {})
        case TableOf(fields):
            return {"type": "array", "items": _object(fields)}
        case ImageType(form):
            formats: dict[str, Any] = {"const": form} if form else {"type": "string"}
            return _map({"format": formats, "width": _COUNT, "height": _COUNT, "data": _BYTES}, "image")
        case AudioType(rate, channels):
            return _map({"format": {"type": "string"}, "rate": _is(rate), "channels": _is(channels), "data": _BYTES}, "audio")
        case TensorType(dtype, shape):
            sizes: dict[str, Any] = {"type": "array", "items": {"type": "integer", "minimum": 0}}
            if shape is not None:
                sizes = {"type": "array", "prefixItems": [_is(size) for size in shape], "items": False, "minItems": len(shape)}
            return _map({"dtype": {"const": dtype} if dtype else {"type": "string"}, "shape": sizes, "data": _BYTES}, "tensor")


def _object(fields: tuple[tuple[str, StreamType], ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: json_schema(kind) for name, kind in fields},
        "required": [name for name, kind in fields if not isinstance(kind, OptionalOf)],
    }


def _map(properties: dict[str, Any], title: str) -> dict[str, Any]:
    return {"type": "object", "title": title, "properties": properties, "required": list(properties)}


def _is(value: int | None) -> dict[str, Any]:
    return dict(_COUNT) if value is None else {"const": value}
