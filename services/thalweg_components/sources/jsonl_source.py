"""jsonl-source: lines of a JSON lines file."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from thalweg import At, Bad, Context, InputFile, RecordError, component
from thalweg.errors import RejectedError
from thalweg.graph.parse import parse_type
from thalweg.graph.types import BOOL, FLOAT, INT, JSON, STR, TIMESTAMP, ListOf, OptionalOf, Record, StreamType, format_type
from thalweg.sdk.cells import parse_timestamp
from thalweg_components.sources.csv_lines import MAX_LINE_BYTES
from thalweg_components.times import event_time_ns

INFERRED_ROWS = 1000
Row = TypeVar("Row")


class Params(BaseModel):
    """How the file is read."""

    model_config = ConfigDict(extra="forbid")

    record: str | None = Field(None, description="stream type of a line, e.g. record{id: int, name: str?}; unset: inferred")
    time: str | None = Field(None, description="field that is the event time: a timestamp, or an int of UTC ns")


@component("jsonl-source", version="1.0.0")
class JsonlSource:
    """Reads a JSON lines file line by line, in constant memory.

    **Emits** on `out` one record a line. The type is `record`, or inferred from the first 1,000 lines of the bound file:
    fields that are missing or null in one of them are `T?`, ints and floats make `float`, what has no common type is `json`.

    **Files**: `lines` (jsonl): UTF-8, one JSON object a line.

    **Params**: `record` (a stream type), `time` (field of the event time; otherwise it is the record's ordinal).

    **Faults**: a line that is no JSON or not of the type is a faulty record that names the line (from 1) and the path in
    it. Empty lines are skipped. Fields that the type does not have are dropped.

    **Resumes** at the byte behind the last committed line.
    """

    params: Params
    lines: Annotated[InputFile, "jsonl"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The declared or the inferred type."""
        if params.record is not None:
            found = parse_type(params.record)
        elif "lines" in files:
            found = _infer(files["lines"])
        else:
            raise RejectedError("record: the type cannot be inferred", code="params.invalid", hint="bind the file, or declare record")
        if not isinstance(found, Record):
            raise RejectedError(f"record: {format_type(found)} is no record", code="params.invalid")
        if params.time is not None and _base(dict(found.fields).get(params.time)) not in (TIMESTAMP, INT):
            raise RejectedError(f"time: {params.time!r} is no timestamp or int (ns) of {format_type(found)}", code="params.invalid")
        return {"out": found}

    def read(self, cursor: list[int] | None, context: Context) -> Iterator[At[Row] | Bad]:
        """Records behind the cursor `[byte offset, lines read]`."""
        offset, line = cursor if cursor is not None else (0, 0)
        kind = context.output_type("out")
        stamps = [name for name, field in kind.fields if _base(field) == TIMESTAMP] if isinstance(kind, Record) else []
        decode = msgspec.json.Decoder(context.record_class("out")).decode
        with self.lines.path.open("rb") as file:
            file.seek(offset)
            while raw := file.readline(MAX_LINE_BYTES):
                offset, line = offset + len(raw), line + 1
                if not raw.strip():
                    continue
                try:
                    record = decode(raw)
                    _set_zones(record, stamps)
                    time_ns = self._time_of(record, line)
                except msgspec.MsgspecError as error:
                    yield Bad(RecordError(str(error), where=f"line {line}"), raw, [offset, line])
                except UnicodeDecodeError as error:
                    at = offset - len(raw) + error.start
                    yield Bad(RecordError(f"byte {at} is not UTF-8", where=f"line {line}"), raw, [offset, line])
                except RecordError as error:
                    yield Bad(error, raw, [offset, line])
                else:
                    yield At(record, [offset, line], time_ns)

    def _time_of(self, record: Any, line: int) -> int | None:
        if self.params.time is None:
            return None
        time_ns = event_time_ns(getattr(record, self.params.time))
        if time_ns is None:
            raise RecordError("the event time is null", where=f"line {line}, field {self.params.time}")
        return time_ns


def _set_zones(record: Any, names: list[str]) -> None:
    """Takes times without a zone as UTC: others could not be encoded as timestamps."""
    for name in names:
        value = getattr(record, name)
        if value is not None and value.tzinfo is None:
            setattr(record, name, value.replace(tzinfo=dt.UTC))


def _infer(path: Path) -> StreamType:
    kinds: list[StreamType | None] = []
    with path.open("rb") as file:
        for raw in itertools.islice(file, INFERRED_ROWS):
            if raw.strip():
                try:
                    kind = type_of(msgspec.json.decode(raw))
                    kinds = [merge(kinds[0], kind) if kinds else kind]
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    continue  # the run names the faulty line
    if not kinds or kinds[0] is None:
        raise RejectedError("the file has no line that is JSON", code="file.invalid")
    return kinds[0]


def type_of(value: Any) -> StreamType | None:
    """Narrowest stream type of a JSON value; None for null."""
    if value is None:
        return None
    if isinstance(value, dict):
        fields = tuple((name, type_of(item) or OptionalOf(JSON)) for name, item in value.items())
        return Record(fields) if all(name.isidentifier() for name in value) else JSON
    if isinstance(value, list):
        kinds = [type_of(one) for one in value]
        return ListOf((functools.reduce(merge, kinds) if kinds else None) or JSON)
    if isinstance(value, str):
        return TIMESTAMP if _is_timestamp(value) else STR
    return BOOL if isinstance(value, bool) else INT if isinstance(value, int) else FLOAT


def merge(first: StreamType | None, second: StreamType | None) -> StreamType | None:
    """Narrowest type that holds both; None stands for null."""
    if first is None or second is None:
        return _optional(first or second)
    if isinstance(first, OptionalOf) or isinstance(second, OptionalOf):
        one, other = _base(first), _base(second)
        return _optional(other if one == JSON else one if other == JSON else merge(one, other))
    if first == second:
        return first
    if isinstance(first, Record) and isinstance(second, Record):
        return _merge_records(dict(first.fields), dict(second.fields))
    if isinstance(first, ListOf) and isinstance(second, ListOf):
        return ListOf(second.item if first.item == JSON else first.item if second.item == JSON else merge(first.item, second.item) or JSON)
    kinds = {first, second}
    return FLOAT if kinds == {INT, FLOAT} else STR if kinds == {STR, TIMESTAMP} else JSON


def _merge_records(first: dict[str, StreamType], second: dict[str, StreamType]) -> Record:
    names = [*first, *(name for name in second if name not in first)]
    return Record(tuple((name, merge(first.get(name), second.get(name)) or JSON) for name in names))


def _optional(kind: StreamType | None) -> StreamType | None:
    return kind if kind is None or isinstance(kind, OptionalOf) else OptionalOf(kind)


def _base(kind: StreamType | None) -> StreamType | None:
    return kind.item if isinstance(kind, OptionalOf) else kind


def _is_timestamp(text: str) -> bool:
    try:
        parse_timestamp(text)
    except ValueError:
        return False
    return len(text) > 10 and "/" not in text  # bare dates stay text: JSON readers take full date-times only
