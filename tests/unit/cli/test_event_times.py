"""Event times on the command line."""

from __future__ import annotations

import pytest

from thalweg.errors import UsageError
from thalweg_cli.event_times import parse_event_time


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("2012-01-01T00:00:00.000001Z", 1_325_376_000_000_001_000),
        ("1960-01-01T00:00:00+00:00", -315_619_200_000_000_000),
        ("1.5s", 1_500_000_007),
        ("42", 42),
        ("-5", -5),
    ],
)
def test_an_event_time_is_a_time_a_distance_or_a_number(text: str, time_ns: int) -> None:
    assert parse_event_time(text, 7) == time_ns


@pytest.mark.parametrize("text", ["yesterday", "2012-01-01T00:00:00", "10x", ""])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_event_time(text, 0)
    assert caught.value.code == "time.invalid"
