"""aggregate: counts, sums, means, extremes and quantiles per key and window of event time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, Emit, component
from thalweg.errors import RejectedError
from thalweg.graph.types import DURATION, INT, JSON, TIMESTAMP, OptionalOf, Record, StreamType, format_type
from thalweg_components.expressions import CompiledExpression, compile_expression
from thalweg_components.processors.aggregates import Aggregate, add, merge, result, result_type, start_cell
from thalweg_components.processors.windows import Window, windows_of
from thalweg_components.times import event_time_ns, from_ns

In = TypeVar("In")
Out = TypeVar("Out")
_NEVER = 2**63 - 1
_LONG_AGO = -(2**63)
_START_BYTES = 9  # of a window's start in the name of a group: a long window may start before what 64 bits hold
_MICROSECOND = dt.timedelta(microseconds=1)


class Params(BaseModel):
    """What to group by, how to cut time, and what to work out."""

    model_config = ConfigDict(extra="forbid")

    key: list[str] = Field(default_factory=list, description="fields to group by; one may stand as a bare word")
    window: Window = Field(
        default_factory=lambda: Window.model_validate({}), description="none, or day, month, year, or {kind: tumbling, …}"
    )
    aggregates: dict[str, Aggregate] = Field(min_length=1, description="output field -> {op, field, q}")
    time: str | None = Field(None, description="field that is the event time; by default the record's own event time")
    lateness_s: float = Field(0, ge=0, description="how long a window waits for records out of order, seconds of event time")

    @field_validator("key", mode="before")
    @classmethod
    def _one_key(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


@dataclass
class Group:
    """One key in one window, with its running values; durations in both are ints of microseconds, since msgpack has none."""

    start_ns: int
    end_ns: int
    keys: list[Any]
    cells: list[list[Any]]


@dataclass
class State:
    """Open groups by window start and keys in msgpack, and how far time has come."""

    groups: dict[bytes, Group] = field(default_factory=dict)
    watermark_ns: int = _LONG_AGO
    next_end_ns: int = _NEVER
    last_time_ns: int = 0


@component("aggregate", version="1.0.0")
class AggregateByWindow:
    """Works out counts, sums, means, extremes and quantiles per key and window of event time.

    **Ports**: `in` takes records. `out` emits `record{window_start: timestamp, window_end: timestamp, keys…, aggregates…}`
    when a window closes: when the watermark has passed its end by `lateness_s`. Windows leave in order of their end, then
    by key. With window `none` there is one record per key at the end of the stream, without the two window fields.

    **Params**: `key` (field or fields; a dotted field gets `_`), `window` (`none`; `day`, `month`, `year` of the UTC
    calendar; `{kind: tumbling, size_s}`, `{kind: sliding, size_s, slide_s}`, `{kind: session, gap_s}`), `aggregates`
    (output field: `{op, field, q}`, op one of count, sum, mean, min, max, quantile; the field may be a CEL expression),
    `time` (field of the event time), `lateness_s`.

    **Faults**: nulls are skipped (`count` without a field counts records). A record that comes after its window has closed
    is dropped and counted as late. A null event time is a faulty record. Unknown fields are rejected before it runs.

    **Memory**: one group per key and open window; quantile keeps every value of its open windows.
    """

    params: Params
    state: State

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Window bounds, keys, aggregates."""
        return {"out": _output_type(params, inputs["in"])}

    def setup(self, context: Context) -> None:
        """Compiles the expressions."""
        source = context.input_type("in")
        self._keys = [compile_expression(key, source, what="key") for key in self.params.key]
        self._time = compile_expression(self.params.time, source, what="time") if self.params.time else None
        self._aggregates = list(self.params.aggregates.values())
        self._fields = [_field_of(name, one, source) for name, one in self.params.aggregates.items()]
        self._lateness_ns = round(self.params.lateness_s * 1_000_000_000)
        self._class = context.record_class("out")

    def process(self, record: In, context: Context) -> Iterator[Emit[Out]]:
        """Takes the record into its groups; windows that a `time` field has passed are emitted."""
        time_ns = self._time_of(record, context)
        self.state.last_time_ns = max(self.state.last_time_ns, context.time_ns)
        keys = [_to_state(key.evaluate(record)) for key in self._keys]
        values = [_to_state(one.evaluate(record)) if one is not None else True for one in self._fields]
        for start_ns, end_ns in windows_of(self.params.window, time_ns):
            group = self._group(start_ns, end_ns, keys)
            if group is None:
                context.count_late()
            else:
                self._add(group, values)
        if self._time is not None:
            yield from self._close(time_ns - self._lateness_ns, context.time_ns)

    def on_watermark(self, watermark_ns: int, context: Context) -> Iterator[Emit[Out]]:
        """Emits the windows that end at or before the watermark, unless a `time` field drives them."""
        if self._time is None and watermark_ns < _NEVER:
            yield from self._close(watermark_ns - self._lateness_ns, None)

    def finish(self, context: Context) -> Iterator[Emit[Out]]:
        """Emits the windows that are still open."""
        yield from self._close(_NEVER, None if self._time is None else self.state.last_time_ns)

    def _time_of(self, record: Any, context: Context) -> int:
        if self._time is None:
            return context.time_ns
        return event_time_ns(self._time.evaluate(record))

    def _group(self, start_ns: int, end_ns: int, keys: list[Any]) -> Group | None:
        """The group that a record belongs to; None for one whose window has closed."""
        key = msgspec.msgpack.encode(keys)
        if self.params.window.kind == "session":
            return self._session(start_ns, end_ns, keys, key)
        if end_ns <= self.state.watermark_ns:
            return None
        group = self.state.groups.get(_name(start_ns, key))
        return group if group is not None else self._open(_name(start_ns, key), start_ns, end_ns, keys)

    def _open(self, name: bytes, start_ns: int, end_ns: int, keys: list[Any]) -> Group:
        cells = [
            start_cell(one, None if source is None else source.type) for one, source in zip(self._aggregates, self._fields, strict=True)
        ]
        group = self.state.groups[name] = Group(start_ns, end_ns, keys, cells)
        self.state.next_end_ns = min(self.state.next_end_ns, end_ns)
        return group

    def _session(self, start_ns: int, end_ns: int, keys: list[Any], key: bytes) -> Group | None:
        """The session that the record belongs to: those that it touches become one. It is late only when none of them is open."""
        touched = [
            (name, group)
            for name, group in self.state.groups.items()
            if name[_START_BYTES:] == key and group.start_ns < end_ns and start_ns < group.end_ns
        ]
        if not touched:
            return None if end_ns <= self.state.watermark_ns else self._open(_name(start_ns, key), start_ns, end_ns, keys)
        kept = touched[0][1]
        for name, group in touched:
            del self.state.groups[name]
            start_ns, end_ns = min(start_ns, group.start_ns), max(end_ns, group.end_ns)
            if group is not kept:
                for one, mine, theirs in zip(self._aggregates, kept.cells, group.cells, strict=True):
                    merge(one, mine, theirs)
        kept.start_ns, kept.end_ns = start_ns, end_ns
        self.state.groups[_name(start_ns, key)] = kept
        return kept

    def _add(self, group: Group, values: list[Any]) -> None:
        for one, cell, value in zip(self._aggregates, group.cells, values, strict=True):
            if value is not None:
                add(one, cell, value)

    def _close(self, watermark_ns: int, time_ns: int | None) -> Iterator[Emit[Out]]:
        """Emits and forgets what has ended. An emitted record's event time is the last moment of its window."""
        self.state.watermark_ns = max(self.state.watermark_ns, watermark_ns)
        if watermark_ns < self.state.next_end_ns and watermark_ns != _NEVER:
            return
        ended = [(name, group) for name, group in self.state.groups.items() if group.end_ns <= watermark_ns]
        for name, _ in ended:
            del self.state.groups[name]
        self.state.next_end_ns = min((group.end_ns for group in self.state.groups.values()), default=_NEVER)
        for _, group in sorted(ended, key=_order):
            at = min(group.end_ns, _NEVER) - 1 if time_ns is None else time_ns
            yield Emit(self._record(group), self.state.last_time_ns if group.end_ns == _NEVER else at)

    def _record(self, group: Group) -> Any:
        keys = [_from_state(key, one.type) for key, one in zip(group.keys, self._keys, strict=True)]
        cells = zip(self._aggregates, self._fields, group.cells, strict=True)
        values = [
            _from_state(result(one, cell), source.type if source and one.op in ("min", "max") else INT) for one, source, cell in cells
        ]
        bounds = [] if self.params.window.kind == "none" else [from_ns(group.start_ns), from_ns(group.end_ns)]
        return self._class(*bounds, *keys, *values)


def _name(start_ns: int, key: bytes) -> bytes:
    return start_ns.to_bytes(_START_BYTES, "big", signed=True) + key


def _to_state(value: Any) -> Any:
    return value // _MICROSECOND if isinstance(value, dt.timedelta) else value


def _from_state(value: Any, kind: StreamType) -> Any:
    return value * _MICROSECOND if kind in (DURATION, OptionalOf(DURATION)) and value is not None else value


def _order(item: tuple[bytes, Group]) -> tuple[int, int, list[tuple[int, float, str]]]:
    """By end, start and keys; keys of a mixed type (json, records) by their JSON text."""
    group = item[1]
    return group.end_ns, group.start_ns, [_sort_key(key) for key in group.keys]


def _sort_key(key: Any) -> tuple[int, float, str]:
    """Nulls first, then numbers, NaN behind them, then everything else by its text."""
    if key is None:
        return (0, 0.0, "")
    if isinstance(key, (int, float)):
        return (1, key, "") if key == key else (2, 0.0, "")  # only NaN differs from itself
    return (3, 0.0, str(key))


def _field_of(name: str, aggregate: Aggregate, source: StreamType) -> CompiledExpression | None:
    return compile_expression(aggregate.field, source, what=f"aggregates.{name}.field") if aggregate.field is not None else None


def _output_type(params: Params, source: StreamType) -> Record:
    fields: list[tuple[str, StreamType]] = []
    if params.window.kind != "none":
        fields += [("window_start", TIMESTAMP), ("window_end", TIMESTAMP)]
    fields += [(key.replace(".", "_"), compile_expression(key, source, what="key").type) for key in params.key]
    for name, one in params.aggregates.items():
        found = _field_of(name, one, source)
        fields.append((name, result_type(name, one, found.type if found else None)))
    names = [name for name, _ in fields]
    bad = next((name for name in names if not name.isidentifier() or names.count(name) > 1), None)
    if bad is not None:
        raise RejectedError(f"output field {bad!r} is no valid name, or there twice", code="params.invalid")
    if params.time is not None:
        _check_time(params.time, compile_expression(params.time, source, what="time").type)
    return Record(tuple(fields), "Window")


def _check_time(time: str, kind: StreamType) -> None:
    if (kind.item if isinstance(kind, OptionalOf) else kind) not in (TIMESTAMP, INT, JSON):
        raise RejectedError(f"time: {time!r} is {format_type(kind)}, not timestamp or int (ns)", code="params.invalid")
