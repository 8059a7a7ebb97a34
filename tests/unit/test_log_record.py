"""A log record is bounded whatever was logged, and whatever stands on the subject can be shown."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import RejectedError
from thalweg.wire import subjects
from thalweg.wire.log_record import MAX_RECORD_BYTES, LogRecord, decode_record, encode_record, level_of


def made(**more: Any) -> LogRecord:
    return LogRecord(**{"time_ns": 1, "level": "info", "logger": "l", "message": "m", "deployment": "d", "vertex": "v", **more})


def test_a_record_is_plain_json_without_what_it_has_not() -> None:
    body = json.loads(encode_record(made(fields={"shelf": 3, "place": ("a", 1)})))
    assert body == {
        "time_ns": 1,
        "level": "info",
        "logger": "l",
        "message": "m",
        "deployment": "d",
        "vertex": "v",
        "fields": {"shelf": 3, "place": "('a', 1)"},
    }


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


ANYTHING = (
    st.text(st.characters(exclude_categories=[]), max_size=50) | st.integers() | st.floats() | st.binary(max_size=9) | st.just(Rude())
)


@given(st.text(st.characters(exclude_categories=[])), st.integers(1, 9000), st.dictionaries(st.text(), ANYTHING, max_size=60))
def test_whatever_is_logged_fits_and_can_be_read_again(text: str, times: int, fields: dict[str, Any]) -> None:
    body = encode_record(made(message=text * times, exception=text * times, logger=text, fields=fields))
    assert len(body) <= MAX_RECORD_BYTES
    assert decode_record(body, "d", "v", 0).logger != "unreadable" or text == "unreadable"


def test_of_a_long_traceback_the_end_is_kept_and_of_a_message_the_beginning() -> None:
    read = decode_record(encode_record(made(message="first" + "x" * 9000, exception="y" * 20_000 + "KeyError: 3")), "d", "v", 0)
    assert read.message.startswith("first") and read.message.endswith("(813 more characters)")
    assert read.exception.endswith("KeyError: 3") and "characters before" in read.exception


@given(st.binary(max_size=300) | st.dictionaries(st.text(), st.integers() | st.text()).map(lambda found: json.dumps(found).encode()))
def test_a_body_that_is_no_record_is_shown_as_text(body: bytes) -> None:
    read = decode_record(body, "d", "v", 7)
    assert (read.logger, read.time_ns, read.deployment, read.vertex) == ("unreadable", 7, "d", "v")


def test_a_record_is_of_the_vertex_on_whose_subject_it_stands() -> None:
    assert decode_record(encode_record(made(vertex="other")), "d", "v", 0).vertex == "v"


@pytest.mark.parametrize(
    ("number", "level"),
    [(0, "debug"), (10, "debug"), (20, "info"), (25, "info"), (30, "warning"), (40, "error"), (50, "critical"), (90, "critical")],
)
def test_levels_are_those_of_python(number: int, level: str) -> None:
    assert level_of(number) == level
    assert logging.getLevelName(30).lower() == "warning"


def test_subjects_of_records_are_read_back() -> None:
    assert subjects.parse_log(subjects.log("w", "d", "v")) == ("d", "v")
    assert subjects.parse_log(subjects.port("w", "d", "v", "out")) is None
    with pytest.raises(RejectedError):
        subjects.check_token("vertex", "a.b")
