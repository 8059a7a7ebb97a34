"""window-join: pairs the records of two streams that have the same key in the same window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, Emit, RecordError, component
from thalweg.errors import RejectedError
from thalweg.graph.types import TIMESTAMP, OptionalOf, Record, StreamType, format_type
from thalweg_components.keys import Keys, as_list
from thalweg_components.names import check_names
from thalweg_components.processors.windows import Window, windows_of
from thalweg_components.times import from_ns

L = TypeVar("L")
R = TypeVar("R")
Out = TypeVar("Out")
_NEVER = 2**63 - 1
_BOUNDS = ("window_start", "window_end")


class Params(BaseModel):
    """What belongs together."""

    model_config = ConfigDict(extra="forbid")

    key: list[str] = Field(
        default_factory=list, max_length=32, description="fields or CEL expressions, equal on both sides; none: all pair"
    )
    window: Window = Field(description="tumbling, sliding, day, month or year, as for aggregate")
    how: Literal["inner", "left"] = Field("inner", description="left: left records without a partner are emitted too, with nulls")
    lateness_s: float = Field(0.0, ge=0, le=1e9, description="event time for which a window waits for late records, seconds")
    max_records: int = Field(10_000, ge=1, le=1_000_000, description="records of one side, key and window; more are faulty")

    @field_validator("key", mode="before")
    @classmethod
    def _one_key(cls, value: object) -> object:
        return as_list(value)

    @field_validator("window")
    @classmethod
    def _has_an_end(cls, value: Window) -> Window:
        if value.kind in ("none", "session"):
            raise ValueError("use tumbling, sliding, day, month or year")
        return value


@dataclass
class Group:
    """The records of one key in one window: their field values in msgpack."""

    start_ns: int
    end_ns: int
    key: bytes
    left: list[bytes] = field(default_factory=list)
    right: list[bytes] = field(default_factory=list)


@dataclass
class State:
    """Open windows by start, end and key; up to where windows are closed."""

    groups: dict[bytes, Group] = field(default_factory=dict)
    closed_ns: int = -(2**63)


@component("window-join", version="1.0.0")
class WindowJoin:
    """Pairs the records of two streams that have the same key in the same window of event time.

    **Ports**: `left` and `right` take records. `out` emits, when a window has ended, every pair of its records with equal keys:
    `window_start` and `window_end`, the fields of the left record, and those of the right one that the left does not have. Its
    event time is the last moment of the window.

    **Params**: `window` (`{kind: tumbling, size_s}`, `{kind: sliding, size_s, slide_s}`, `day`, `month`, `year`, of UTC), `key` (fields or
    CEL expressions of both sides; without any, all records of a window pair), `how`: `inner`, or `left` to emit left
    records without a partner too (the right fields are then `T?`). `lateness_s` (seconds), `max_records` (10,000).

    **Order**: by end and start of the window, then by key, then as the left and the right records came.

    **Nulls**: null keys are equal to one another. **Faults**: unknown fields are rejected before it runs. A record that comes after all
    of its windows have closed is dropped and counted as late. One too many of a side, key and window is a faulty record.

    **Memory**: the records of the open windows. Of a bound on the distance in time in place of windows, see `join`.
    """

    params: Params
    state: State

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Bounds, left fields, then the right ones that are new."""
        left, right = (_record(inputs[port], port) for port in ("left", "right"))
        for port, kind in (("left", left), ("right", right)):
            Keys(params.key, kind, f"key of {port}")
        new = [(name, kind) for name, kind in right.fields if name not in dict(left.fields)]
        if params.how == "left":
            new = [(name, kind if isinstance(kind, OptionalOf) else OptionalOf(kind)) for name, kind in new]
        fields = (*((name, TIMESTAMP) for name in _BOUNDS), *left.fields, *new)
        check_names((name for name, _ in fields), "output")
        return {"out": Record(fields)}

    def setup(self, context: Context) -> None:
        """Compiles the keys."""
        left, right = (_record(context.input_type(port), port) for port in ("left", "right"))
        self._keys = {port: Keys(self.params.key, kind, f"key of {port}") for port, kind in (("left", left), ("right", right))}
        known = [name for name, _ in left.fields]
        self._names = {"left": known, "right": [name for name, _ in right.fields if name not in known]}
        self._lateness_ns = round(self.params.lateness_s * 1_000_000_000)
        context.hold_back_ns = self._lateness_ns
        self._class, self._encode = context.record_class("out"), msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(self._class).decode

    def on_left(self, record: L, context: Context) -> Iterator[Emit[Out]]:
        """Takes a left record into its windows."""
        self._take("left", record, context)
        yield from ()

    def on_right(self, record: R, context: Context) -> Iterator[Emit[Out]]:
        """Takes a right record into its windows."""
        self._take("right", record, context)
        yield from ()

    def on_watermark(self, watermark_ns: int, context: Context) -> Iterator[Emit[Out]]:
        """Emits the windows that have ended."""
        if watermark_ns < _NEVER:
            yield from self._close(watermark_ns - self._lateness_ns)

    def finish(self, context: Context) -> Iterator[Emit[Out]]:
        """Emits the windows that are still open."""
        yield from self._close(_NEVER)

    def _take(self, port: Literal["left", "right"], record: Any, context: Context) -> None:
        key, groups = self._keys[port].of(record), self.state.groups
        values = self._encode({name: getattr(record, name) for name in self._names[port]})
        open_windows = [bounds for bounds in windows_of(self.params.window, context.time_ns) if bounds[1] > self.state.closed_ns]
        if not open_windows:
            context.count_late()
        for start_ns, end_ns in open_windows:
            name = b"".join(one.to_bytes(8, "big", signed=True) for one in (start_ns, end_ns)) + key
            group = groups.setdefault(name, Group(start_ns, end_ns, key))
            held = group.left if port == "left" else group.right
            if len(held) >= self.params.max_records:
                raise RecordError(f"more than {self.params.max_records} {port} records of one key in a window", hint="raise max_records")
            held.append(values)

    def _close(self, until_ns: int) -> Iterator[Emit[Any]]:
        self.state.closed_ns = max(self.state.closed_ns, until_ns)
        ended = [(name, group) for name, group in self.state.groups.items() if group.end_ns <= until_ns]
        for name, _ in ended:
            del self.state.groups[name]
        for _, group in sorted(ended, key=lambda one: (one[1].end_ns, one[1].start_ns, one[1].key)):
            bounds = dict(zip(_BOUNDS, (from_ns(group.start_ns), from_ns(group.end_ns)), strict=True))
            partners = [msgspec.msgpack.decode(one) for one in group.right] or ([{}] if self.params.how == "left" else [])
            for left in group.left:
                mine = bounds | msgspec.msgpack.decode(left)
                for theirs in partners:
                    yield Emit(self._decode(self._encode(mine | theirs)), group.end_ns - 1)


def _record(kind: StreamType, port: str) -> Record:
    if not isinstance(kind, Record):
        raise RejectedError(f"{port}: {format_type(kind)} is no record", code="type.unsupported", hint="window-join works on records")
    return kind
