"""Which unions can be told apart on the wire: msgpack says text, list or map, not which of several."""

from __future__ import annotations

from collections.abc import Iterator

from thalweg.errors import RejectedError
from thalweg.graph import types as st

_TEXTS = (st.STR, st.BYTES, st.TIMESTAMP, st.DURATION)


def check_union(options: tuple[st.StreamType, ...], where: str) -> None:
    """Raises RejectedError, `type.union`, when two of the options look alike on the wire."""
    seen: dict[str, st.StreamType] = {}
    for one in _flat(options):
        kind = _kind(one)
        if kind is not None and seen.setdefault(kind, one) != one:
            raise RejectedError(
                f"{where}: {st.format_type(seen[kind])} | {st.format_type(one)} cannot be told apart",
                code="type.union",
                hint="a union may have one of str, bytes, timestamp and duration, one list, and one record or map; json takes all",
            )


def _flat(options: tuple[st.StreamType, ...]) -> Iterator[st.StreamType]:
    for one in options:
        match one:
            case st.UnionOf(inner):
                yield from _flat(inner)
            case st.OptionalOf(item):
                yield from _flat((item,))
            case _:
                yield one


def _kind(option: st.StreamType) -> str | None:
    if option in _TEXTS:
        return "text"
    if isinstance(option, st.ListOf | st.TupleOf | st.TableOf):
        return "list"
    return None if isinstance(option, st.Scalar | st.Variable) else "map"
