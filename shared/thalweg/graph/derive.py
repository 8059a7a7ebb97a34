"""Stream types from Python annotations: scalars, containers, dataclasses, TypedDicts, pydantic models, msgspec Structs."""

from __future__ import annotations

import dataclasses
import types
import typing
from datetime import datetime, timedelta
from typing import Any, TypeVar, get_args, get_origin

from thalweg.errors import RejectedError
from thalweg.graph import types as st
from thalweg.graph.field_names import check_field_name
from thalweg.graph.unions import check_union

_SCALARS: dict[Any, st.StreamType] = {
    bool: st.BOOL,
    int: st.INT,
    float: st.FLOAT,
    str: st.STR,
    bytes: st.BYTES,
    datetime: st.TIMESTAMP,
    timedelta: st.DURATION,
    Any: st.JSON,
}
_VALUES = (
    st.Scalar,
    st.ListOf,
    st.MapOf,
    st.OptionalOf,
    st.UnionOf,
    st.Record,
    st.ImageType,
    st.AudioType,
    st.TensorType,
    st.TupleOf,
    st.TableOf,
    st.Variable,
)


def stream_type(annotation: Any, path: str = "") -> st.StreamType:
    """The stream type of values of a Python type.

    Raises:
        RejectedError: `type.unsupported`, `type.union` or `type.field_name`, naming the path to what no stream type describes.
    """
    if get_origin(annotation) is typing.Annotated:
        for extra in get_args(annotation)[1:]:
            if isinstance(extra, _VALUES):
                return extra
        return stream_type(get_args(annotation)[0], path)
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if isinstance(annotation, TypeVar):
        return st.Variable(annotation.__name__)
    own = getattr(annotation, "__stream_type__", None)
    if isinstance(own, _VALUES):
        return own
    found = _generic(annotation, path) or _record(annotation, path)
    if found is None:
        raise RejectedError(
            f"{path or 'annotation'}: {getattr(annotation, '__name__', annotation)} is no stream type",
            code="type.unsupported",
            hint="use scalars, list, dict[str, T], dataclasses, TypedDicts or pydantic models",
        )
    return found


def _generic(annotation: Any, path: str) -> st.StreamType | None:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (list, typing.Sequence):
        return st.ListOf(stream_type(arguments[0], f"{path}[]"))
    if origin is dict and arguments[0] is str:
        return st.MapOf(stream_type(arguments[1], f"{path}{{}}"))
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return st.ListOf(stream_type(arguments[0], f"{path}[]"))
        return st.TupleOf(tuple(stream_type(one, f"{path}[{i}]") for i, one in enumerate(arguments)))
    if origin in (typing.Union, types.UnionType):
        kept = [stream_type(one, path) for one in arguments if one is not type(None)]
        inner = kept[0] if len(kept) == 1 else st.UnionOf(tuple(kept))
        check_union(tuple(kept), path or "annotation")
        return st.OptionalOf(inner) if len(kept) < len(arguments) else inner
    if origin is typing.Literal:
        return stream_type(type(arguments[0]), path)
    return None


def _record(annotation: Any, path: str) -> st.StreamType | None:
    if not isinstance(annotation, type):
        return None
    fields: list[str]
    if dataclasses.is_dataclass(annotation):
        fields = [one.name for one in dataclasses.fields(annotation)]
    elif typing.is_typeddict(annotation):
        fields = list(annotation.__annotations__)
    elif hasattr(annotation, "model_fields"):
        fields = list(annotation.model_fields)
    elif hasattr(annotation, "__struct_fields__"):
        fields = list(annotation.__struct_fields__)
    else:
        return None
    for name in fields:
        check_field_name(name, path or annotation.__name__)
    hints = typing.get_type_hints(annotation, include_extras=True)
    return st.Record(
        tuple((name, stream_type(_bare(hints[name]), f"{path}.{name}" if path else name)) for name in fields), annotation.__name__
    )


def _bare(annotation: Any) -> Any:
    """`Required[T]` and `NotRequired[T]` of TypedDicts."""
    origin = get_origin(annotation)
    if origin is typing.NotRequired:
        return get_args(annotation)[0] | None
    return get_args(annotation)[0] if origin is typing.Required else annotation
