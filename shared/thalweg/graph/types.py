"""Stream types: what may travel on an edge; small, structural, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Scalar:
    """`bool`, `int`, `float`, `str`, `bytes`, `timestamp`, `duration` or `json`."""

    name: str


@dataclass(frozen=True, slots=True)
class ListOf:
    """`list[T]`."""

    item: StreamType


@dataclass(frozen=True, slots=True)
class MapOf:
    """`map[T]`: string keys."""

    value: StreamType


@dataclass(frozen=True, slots=True)
class OptionalOf:
    """`T?`: a value or nothing."""

    item: StreamType


@dataclass(frozen=True, slots=True)
class UnionOf:
    """`A | B`."""

    options: tuple[StreamType, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """`record{field: T, …}`, compared by structure; the name is for people."""

    fields: tuple[tuple[str, StreamType], ...]
    name: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ImageType:
    """`image` or `image<format>`."""

    format: str | None = None


@dataclass(frozen=True, slots=True)
class AudioType:
    """`audio` or `audio<rate,channels>`."""

    rate: int | None = None
    channels: int | None = None


@dataclass(frozen=True, slots=True)
class TensorType:
    """`tensor` or `tensor<dtype,axb>`; None and `?` mean any."""

    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class TupleOf:
    """`tuple[A, B]`."""

    items: tuple[StreamType, ...]


@dataclass(frozen=True, slots=True)
class TableOf:
    """`table{column: T, …}`."""

    fields: tuple[tuple[str, StreamType], ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A type variable of a pass-through component."""

    name: str


StreamType = Scalar | ListOf | MapOf | OptionalOf | UnionOf | Record | ImageType | AudioType | TensorType | TupleOf | TableOf | Variable
BOOL, INT, FLOAT, STR = Scalar("bool"), Scalar("int"), Scalar("float"), Scalar("str")
BYTES, TIMESTAMP, DURATION, JSON = Scalar("bytes"), Scalar("timestamp"), Scalar("duration"), Scalar("json")
SCALARS = {one.name: one for one in (BOOL, INT, FLOAT, STR, BYTES, TIMESTAMP, DURATION, JSON)}


def format_type(stream_type: StreamType) -> str:
    """The type as people write it; `parse_type` reads it back."""
    match stream_type:
        case Scalar(name) | Variable(name):
            return name
        case ListOf(item):
            return f"list[{format_type(item)}]"
        case MapOf(value):
            return f"map[{format_type(value)}]"
        case OptionalOf(item):
            inner = format_type(item)
            return f"({inner})?" if isinstance(item, UnionOf) else f"{inner}?"
        case UnionOf(options):
            return " | ".join(f"({format_type(one)})" if isinstance(one, UnionOf) else format_type(one) for one in options)
        case Record(fields):
            return "record{" + _fields(fields) + "}"
        case TableOf(fields):
            return "table{" + _fields(fields) + "}"
        case TupleOf(items):
            return f"tuple[{', '.join(map(format_type, items))}]"
        case ImageType(form):
            return f"image<{form}>" if form else "image"
        case AudioType(rate, channels):
            return "audio" if rate is None and channels is None else f"audio<{_or_any(rate)},{_or_any(channels)}>"
        case TensorType(dtype, shape):
            if dtype is None and shape is None:
                return "tensor"
            sizes = "*" if shape is None else "x".join(map(_or_any, shape))
            return f"tensor<{dtype or '?'},{sizes}>"


def _fields(fields: tuple[tuple[str, StreamType], ...]) -> str:
    return ", ".join(f"{name}: {format_type(kind)}" for name, kind in fields)


def _or_any(value: int | None) -> str:
    return "?" if value is None else str(value)
