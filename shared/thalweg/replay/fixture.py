"""Fixtures: records of sources in one file of JSON lines that people can edit.

The first line says what the file has, each other one is a record: its port, its event time, its value. Bytes, as those of an image, are
base64 in it, so that the file is all there is. Ids are not in it: they are derived from the vertex and the place of the record, as for
any source, so whatever is edited, added or taken out, they are right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from thalweg.errors import RejectedError
from thalweg.graph.parse import parse_type
from thalweg.graph.types import StreamType, format_type
from thalweg.sdk.records import python_type
from thalweg.sdk.values import RecordError

SUFFIX = ".fixture.jsonl"
FORMAT = 1
MAX_LINE_BYTES = 64 << 20
_FIRST_NS, _LAST_NS = 10**17, 10**19 // 4  # what is shown as a time: others count something else
_NS = 10**9


class Head(msgspec.Struct):
    """The first line.

    Attributes:
        fixture: the format.
        ports: stream type by `vertex.port`.
        backend, deployment: where the records come from.
    """

    fixture: int
    ports: dict[str, str]
    backend: str = ""
    deployment: str = ""


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    port: str
    value: msgspec.Raw
    time: int | str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """How far a fixture is read: bytes, lines."""

    offset: int = 0
    line: int = 0


@dataclass(frozen=True, slots=True)
class FixtureRecord:
    """One record of a fixture.

    Attributes:
        port: of its vertex.
        value: decoded; None where it is faulty.
        time_ns: event time, UTC; None for its ordinal.
        behind: where to go on after it.
        fault: what is wrong with it.
        raw: its line.
    """

    port: str
    value: Any
    time_ns: int | None
    behind: Place
    fault: RecordError | None = None
    raw: bytes = b""


_line_decoder, _head_decoder = msgspec.json.Decoder(_Line), msgspec.json.Decoder(Head)


def is_fixture(name: str) -> bool:
    """Whether a file is called as a fixture is."""
    return name.lower().endswith(SUFFIX)


def encode_head(backend: str, deployment: str, ports: Mapping[tuple[str, str], StreamType]) -> bytes:
    """The first line."""
    types = {f"{vertex}.{port}": format_type(kind) for (vertex, port), kind in ports.items()}
    return msgspec.json.encode(Head(FORMAT, types, backend, deployment)) + b"\n"


def encode_record(vertex: str, port: str, time_ns: int, value: Any, kind: StreamType) -> bytes:
    """A line.

    Raises:
        RejectedError: `fixture.unwritable`, JSON does not hold this value as it is.
    """
    try:
        packed = msgspec.json.encode(value)
        is_same = msgspec.msgpack.encode(msgspec.json.decode(packed, type=python_type(kind))) == msgspec.msgpack.encode(value)
    except (msgspec.MsgspecError, TypeError, ValueError):
        is_same = False
    if not is_same:
        hint = "`thalweg replay save` keeps it as it is"
        raise RejectedError(f"{vertex}.{port}: a record cannot be written as JSON and read again", code="fixture.unwritable", hint=hint)
    return msgspec.json.encode({"port": f"{vertex}.{port}", "time": _format_time(time_ns), "value": msgspec.Raw(packed)}) + b"\n"


class Fixture:
    """One file.

    Args:
        path: of it.

    Raises:
        RejectedError: `fixture.unreadable`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                line = file.readline(MAX_LINE_BYTES)
            head = _head_decoder.decode(line)
            if head.fixture != FORMAT:
                raise ValueError(f"it is of format {head.fixture}")
            self.types = {place: parse_type(kind) for place, kind in head.ports.items()}
        except OSError as error:
            raise RejectedError(f"{path}: {error.strerror or error}", code="fixture.unreadable") from error
        except (msgspec.MsgspecError, ValueError, RejectedError) as error:
            raise RejectedError(f"{path}: line 1: this is no fixture: {error}", code="fixture.unreadable", hint=_HINT) from error
        self.head, self._start = head, Place(len(line), 1)

    def ports(self, vertex: str) -> dict[str, StreamType]:
        """The ports of a vertex that it has, with their types."""
        found = ((place.partition("."), kind) for place, kind in self.types.items())
        return {port: kind for (owner, _, port), kind in found if owner == vertex}

    def records(self, vertex: str, port: str | None, after: Place | None = None) -> Iterator[FixtureRecord]:
        """Records of a vertex in the order of the file, of one of its ports or of all of them, behind a place.

        A line that cannot be read is given to every vertex: nobody knows whose it is.

        Raises:
            OSError: it cannot be read.
        """
        place = after if after is not None and after.line else self._start
        decoders = {name: msgspec.json.Decoder(python_type(kind)).decode for name, kind in self.ports(vertex).items()}
        with self.path.open("rb") as file:
            file.seek(place.offset)
            while raw := file.readline(MAX_LINE_BYTES):
                place = Place(place.offset + len(raw), place.line + 1)
                if not raw.strip():
                    continue
                found = self._read(raw, place, vertex, decoders)
                if found is not None and (port is None or found.port in (port, "")):
                    yield found

    def _read(self, raw: bytes, place: Place, vertex: str, decoders: Mapping[str, Any]) -> FixtureRecord | None:
        where = f"line {place.line}"
        try:
            line = _line_decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return FixtureRecord("", None, None, place, RecordError(str(error), where=where), raw)
        owner, _, port = line.port.partition(".")
        if line.port not in self.types:
            fault = RecordError(f"line 1 does not name the port {line.port!r}", where=where)
            return FixtureRecord("", None, None, place, fault, raw)
        if owner != vertex:
            return None
        try:
            return FixtureRecord(port, decoders[port](line.value), _read_time(line.time), place)
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            return FixtureRecord(port, None, None, place, RecordError(f"{line.port}: {error}", where=where), raw)


_HINT = f"`thalweg replay capture-fixture` writes one, as a {SUFFIX} file"


def _format_time(time_ns: int) -> int | str:
    if not _FIRST_NS <= time_ns <= _LAST_NS:
        return time_ns
    return f"{datetime.fromtimestamp(time_ns // _NS, UTC):%Y-%m-%dT%H:%M:%S}.{time_ns % _NS:09d}Z"


def _read_time(given: int | str | None) -> int | None:
    """Inverse of `_format_time`; takes any RFC 3339 time. Raises ValueError."""
    if not isinstance(given, str):
        return given
    text, fraction = given, 0
    head, dot, rest = given.partition(".")
    if dot:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        if not 1 <= len(digits) <= 9:
            raise ValueError(f"time: {given!r} is no time")
        text, fraction = head + rest[len(digits) :], int(digits.ljust(9, "0"))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"time: {given!r} is no time, as in 2026-11-25T10:00:00Z") from None
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return int((found - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * _NS + fraction
