"""Places on a log as they are written on the command line."""

from __future__ import annotations

import pytest

from thalweg.errors import UsageError
from thalweg_cli.positions import parse_keep, parse_start

NOW_NS = 1_800_000_000 * 10**9


@pytest.mark.parametrize("text", ["#1234", "1234"])
def test_a_number_is_a_position(text: str) -> None:
    assert parse_start(text, NOW_NS).position == 1234


@pytest.mark.parametrize(("text", "ago_s"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("2d", 172_800)])
def test_a_length_of_time_is_so_long_ago(text: str, ago_s: int) -> None:
    assert parse_start(text, NOW_NS).time_ns == NOW_NS - ago_s * 10**9


@pytest.mark.parametrize("text", ["2026-11-25T10:00:00.000001Z", "2026-11-25T11:00:00.000001+01:00"])
def test_a_time_is_exact(text: str) -> None:
    assert parse_start(text, NOW_NS).time_ns == 1_795_600_800_000_001_000


@pytest.mark.parametrize("text", ["", "#", "0", "#0", "-5", "yesterday", "2026-11-25", "2026-11-25T10:00:00", "10m ago", "9" * 30])
def test_what_is_none_of_these_is_told(text: str) -> None:
    with pytest.raises(UsageError):
        parse_start(text, NOW_NS)


def test_a_log_keeps_a_time_or_a_number() -> None:
    assert parse_keep("10m") == {"keep_s": 600.0} and parse_keep("5000") == {"keep_messages": 5000}
    with pytest.raises(UsageError):
        parse_keep("all")
