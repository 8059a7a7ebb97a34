"""One log record of a vertex, as it stands on the log subject: JSON, bounded in size.

JSON and not msgpack: records are text for people, and any NATS client shows them as they are.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

Level = Literal["debug", "info", "warning", "error", "critical"]
LEVELS: tuple[Level, ...] = get_args(Level)
DROPPED_HEADER = "Tw-Log-Dropped"  # how many records the writing process has dropped so far; absent while it is none
MAX_MESSAGE, MAX_EXCEPTION, MAX_NAME, MAX_FIELD, MAX_FIELDS = 8192, 16_384, 256, 1024, 32  # characters; fields
MAX_RECORD_BYTES = 65_536
MAX_READ_BYTES = 1 << 20  # of a record that somebody else may have written
_encoder = msgspec.json.Encoder()


class LogRecord(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One record.

    Attributes:
        time_ns: when it was written, UTC.
        logger: name of the Python logger, `stdout` or `stderr` for a line that was printed.
        generation, epoch: of the vertex, where they are known yet.
        record_id, event_time_ns: of the record that the vertex works on, or has worked on last.
        exception: traceback as text.
        fields: what else was given (`extra`), as plain values.
        dropped: of a record that says so: how many were dropped before it.
    """

    time_ns: int
    level: Level
    logger: str
    message: str
    deployment: str
    vertex: str
    generation: int | None = None
    epoch: int | None = None
    record_id: int | None = None
    event_time_ns: int | None = None
    exception: str = ""
    fields: dict[str, Any] = {}
    dropped: int = 0


_decoder = msgspec.json.Decoder(LogRecord)


def level_of(number: int) -> Level:
    """The level of a number of Python's logging."""
    return LEVELS[min(max(number // 10 - 1, 0), len(LEVELS) - 1)]


def encode_record(record: LogRecord) -> bytes:
    """Body of a record; what is too long is cut, and says so. Redact before: half a secret is not found."""
    bounded = msgspec.structs.replace(
        record,
        logger=cut(record.logger, MAX_NAME),
        message=cut(record.message, MAX_MESSAGE),
        exception=cut_front(record.exception, MAX_EXCEPTION),
        fields={cut(str(name), MAX_NAME): _plain(value) for name, value in list(record.fields.items())[:MAX_FIELDS]},
    )
    body = _encoder.encode(bounded)
    if len(body) > MAX_RECORD_BYTES:  # many fields, or text that takes several bytes a character
        short = {"message": cut(bounded.message, 2048), "exception": cut_front(bounded.exception, 2048), "fields": {}}
        body = _encoder.encode(msgspec.structs.replace(bounded, **short))
    return body


def decode_record(body: bytes, deployment: str, vertex: str, time_ns: int) -> LogRecord:
    """The record in a body that anyone may have written; one that is none is shown as text.

    Args:
        body: as stored.
        deployment, vertex: whose subject it was on, which is whose record it is.
        time_ns: when it was stored.
    """
    try:
        found = _decoder.decode(body[:MAX_READ_BYTES])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = cut(body[: 4 * MAX_MESSAGE].decode(errors="replace"), MAX_MESSAGE)
        return LogRecord(time_ns=time_ns, level="info", logger="unreadable", message=text, deployment=deployment, vertex=vertex)
    found.deployment, found.vertex = deployment, vertex
    return found


def cut(text: str, limit: int) -> str:
    """The beginning of a text that is too long."""
    text = _sound(text)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def cut_front(text: str, limit: int) -> str:
    """The end of a text that is too long: of a traceback, that is where the error is."""
    text = _sound(text)
    return text if len(text) <= limit else f"({len(text) - limit:,} characters before) …{text[-limit:]}"


def _sound(text: str) -> str:
    """A text that can be encoded; half a surrogate pair, as `surrogateescape` leaves it, is spelled out."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    """A field as it may stand in JSON: small values as they are, all else as text; subclasses of numbers as numbers."""
    try:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, float):
            return float(value)
        if isinstance(value, int) and -(2**63) <= value < 2**64:
            return int(value)
        return cut(value if isinstance(value, str) else repr(value), MAX_FIELD)
    except Exception:  # of a class of somebody's own; a log record is not worth a crash
        return f"<{type(value).__name__}>"


class KeptLogs(msgspec.Struct, frozen=True):
    """The log records of a run, as a file of JSON lines.

    Attributes:
        artifact: its id.
        size_bytes: of it.
        records: how many it has.
        complete: whether all that were there are in it.
    """

    artifact: str
    size_bytes: int
    records: int
    complete: bool
