"""What a vertex's process logs and prints becomes records without secrets."""

from __future__ import annotations

import io
import logging
from typing import Any, cast

from thalweg.sdk.context import Context
from thalweg.sealed.redaction import RedactingFilter, Redactor
from thalweg.wire.log_record import LogRecord, decode_record
from thalweg_vertex.logs import Logs
from thalweg_vertex.output import LineSink

PLANTED = "planted-0815"


def taken(logs: Logs) -> list[LogRecord]:
    return [decode_record(one.body, "d", "v", 0) for one in logs.queue.take(1000)]


def a_logger(logs: Logs, name: str = "author") -> logging.Logger:
    logger = logging.Logger(name)
    logger.addHandler(logs)
    return logger


class Engine:
    """As much of one as a log asks."""

    epoch = 3

    def __init__(self) -> None:
        self.context = Context("v", {}, {}, {})
        self.program = self


def test_a_record_has_its_place_level_fields_and_traceback() -> None:
    logs = Logs("d", "v")
    logs.generation = 2
    try:
        raise KeyError("shelf")
    except KeyError:
        a_logger(logs).exception("on %s", "shelf", extra={"shelf": 3})
    (found,) = taken(logs)
    assert (found.level, found.logger, found.message, found.generation, found.fields) == ("error", "author", "on shelf", 2, {"shelf": 3})
    assert found.exception.endswith("KeyError: 'shelf'") and "Traceback" in found.exception


def test_the_record_in_work_is_named_for_the_author_alone() -> None:
    logs, engine = Logs("d", "v"), Engine()
    logs.engine = cast(Any, engine)
    a_logger(logs).info("before the first")
    engine.context.record_id, engine.context.time_ns = 77, 123
    a_logger(logs).info("author's")
    a_logger(logs, "thalweg.vertex.v").info("by the context")
    a_logger(logs, "thalweg.bus").info("our own")
    logs.line("stdout", b"printed")
    assert [(one.record_id, one.event_time_ns) for one in taken(logs)] == [(None, None), (77, 123), (77, 123), (None, None), (77, 123)]


def test_no_part_of_a_record_has_a_secret() -> None:
    logs, redactor = Logs("d", "v"), Redactor([PLANTED])
    logs.addFilter(RedactingFilter(redactor))
    logs.redact = redactor.text
    try:
        raise ValueError(PLANTED)
    except ValueError:
        a_logger(logs, f"of {PLANTED}").exception(
            "x" * 8188 + PLANTED, extra={"token": {"deep": [PLANTED]}, "object": io.BytesIO(PLANTED.encode())}
        )
    (body,) = (one.body for one in logs.queue.take(10))
    assert b"plan" not in body and b"0815" not in body and b"***" in body


def test_printed_lines_are_told_whole_redacted_and_in_order() -> None:
    lines: list[bytes] = []
    sink = LineSink(io.BytesIO(), lines.append)
    text = io.TextIOWrapper(sink, encoding="utf-8", write_through=True)  # type: ignore[type-var]
    sink.redactor = Redactor([PLANTED])
    for piece in ("a plan", "ted-0815\n\n  \nb\n10 %\r20 %\r30 %\nhalf"):
        text.write(piece)
    assert lines == [b"a ***", b"b", b"30 %"]
    sink.finish()
    assert lines[-1] == b"half"


def test_what_cannot_be_formatted_is_logged_as_it_is() -> None:
    logs = Logs("d", "v")
    a_logger(logs).info("%d apples", "no")
    assert taken(logs)[0].message == "%d apples ('no',)"
