"""jsonl-source: lines of a JSON lines file."""

from __future__ import annotations

import codecs
import datetime as dt
import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from thalweg import At, Bad, Context, InputFile, RecordError, component
from thalweg.errors import RejectedError
from thalweg.graph.field_names import field_name, is_field_name
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
    Keys become field names as columns of csv-source do: `wind speed` is `wind_speed`, `class` is `class_`. A line is looked
    through for such keys if one of the first 1,000 has one.

    **Files**: `lines` (jsonl): UTF-8, with or without byte order mark, one JSON object a line.

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
        decode = _decoder(self.lines.path, context.record_class("out"))
        with self.lines.path.open("rb") as file:
            file.seek(offset)
            while raw := file.readline(MAX_LINE_BYTES):
                if offset == 0:
                    raw, offset = raw.removeprefix(codecs.BOM_UTF8), len(raw) - len(raw.removeprefix(codecs.BOM_UTF8))
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
        try:
            return event_time_ns(getattr(record, self.params.time))
        except RecordError as error:
            raise RecordError(str(error), where=f"line {line}, field {self.params.time}") from None


def _set_zones(record: Any, names: list[str]) -> None:
    """Takes times without a zone as UTC: others could not be encoded as timestamps."""
    for name in names:
        value = getattr(record, name)
        if value is not None and value.tzinfo is None:
            setattr(record, name, value.replace(tzinfo=dt.UTC))


def _decoder(path: Path, record_class: Any) -> Callable[[bytes], Any]:
    """Decodes a line; with its keys turned into field names first where the file has other ones."""
    if not any(_has_odd_keys(value) for value in _first_values(path)):
        return msgspec.json.Decoder(record_class).decode
    read = msgspec.json.Decoder().decode
    return lambda raw: msgspec.convert(_with_field_names(read(raw)), record_class)


def _has_odd_keys(value: Any) -> bool:
    if isinstance(value, dict):
        return not all(map(is_field_name, value)) or any(map(_has_odd_keys, value.values()))
    return isinstance(value, list) and any(map(_has_odd_keys, value))


def _with_field_names(value: Any) -> Any:
    """The value with the keys of its objects as field names."""
    if isinstance(value, list):
        return [_with_field_names(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {field_name(key): _with_field_names(item) for key, item in value.items()}
    if len(found) < len(value):
        raise RecordError(f"two keys of {', '.join(value)} make one field")
    return found


def _first_values(path: Path) -> Iterator[Any]:
    """The lines that types are inferred from, without those that are no JSON: the run names them."""
    with path.open("rb") as file:
        for number, raw in enumerate(itertools.islice(file, INFERRED_ROWS)):
            text = raw if number else raw.removeprefix(codecs.BOM_UTF8)
            if text.strip():
                with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                    yield msgspec.json.decode(text)


def _infer(path: Path) -> StreamType:
    kinds: list[StreamType | None] = []
    for value in _first_values(path):
        try:
            kind = type_of(_with_field_names(value))
        except RecordError as error:
            raise RejectedError(str(error), code="file.invalid", hint="rename one of them") from None
        kinds = [merge(kinds[0], kind) if kinds else kind]
    if not kinds or kinds[0] is None:
        raise RejectedError("the file has no line that is JSON", code="file.invalid")
    return kinds[0]


def type_of(value: Any) -> StreamType | None:
    """Narrowest stream type of a JSON value whose keys are field names; None for null."""
    if value is None:
        return None
    if isinstance(value, dict):
        return Record(tuple((name, type_of(item) or OptionalOf(JSON)) for name, item in value.items()))
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
