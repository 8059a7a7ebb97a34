"""Where two values differ, with tolerance."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from thalweg.sdk.values import Image
from thalweg.testing.comparing import EXACT, Bounds, Tolerance, find_difference, is_close, plain
from thalweg.testing.goldens import golden_line

NUMBERS = st.integers(-(1 << 63), (1 << 64) - 1) | st.floats()
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | st.binary(max_size=5)
TIMES = st.datetimes(timezones=st.just(UTC)) | st.timedeltas(timedelta(days=-9_999), timedelta(days=9_999))
VALUES = st.recursive(
    SCALARS | TIMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(categories=["Ll"]), max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert find_difference(value, value) is None


@given(VALUES)
def test_a_value_does_not_differ_from_its_line_in_a_golden_file(value: Any) -> None:
    assert find_difference(plain(value), json.loads(golden_line(value))) is None


@given(NUMBERS, NUMBERS, st.floats(0, 1), st.floats(0, 1e6))
def test_closeness_is_symmetric_and_grows_with_its_bounds(one: float, other: float, relative: float, absolute: float) -> None:
    bounds = Bounds(relative, absolute)
    assert is_close(one, other, bounds) == is_close(other, one, bounds)
    if is_close(one, other, Bounds()):
        assert is_close(one, other, bounds)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e9), st.floats(-1, 1))
def test_numbers_within_an_absolute_bound_are_equal(value: float, bound: float, share: float) -> None:
    other = value + bound * share * 0.999
    assert is_close(value, other, Bounds(absolute=bound + 4 * math.ulp(value) + 4 * math.ulp(other)))


@given(st.floats(1e-100, 1e100), st.floats(1e-6, 0.5))
def test_numbers_beyond_a_relative_bound_differ(value: float, bound: float) -> None:
    assert is_close(value, value * (1 - bound / 2), Bounds(relative=bound))
    assert not is_close(value, value * (1 - bound) * 0.999, Bounds(relative=bound))


@given(st.recursive(st.integers(), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=5), st.data())
def test_a_changed_number_is_found_wherever_it_is(value: Any, data: st.DataObject) -> None:
    changed, path = json.loads(json.dumps({"at": value})), "at"
    holder, key = changed, "at"
    while isinstance(holder[key], list):
        index = data.draw(st.integers(0, len(holder[key]) - 1))
        holder, key, path = holder[key], index, f"{path}[{index}]"  # type: ignore[assignment]
    holder[key] += 1
    found = find_difference(changed, {"at": value})
    assert found is not None and found.path == path
    assert (found.got, found.expected) == (repr(holder[key]), repr(holder[key] - 1))


def test_nan_is_equal_to_nan_and_infinity_to_itself_alone() -> None:
    loose = Tolerance(Bounds(1.0, 1e300))
    assert find_difference(math.nan, math.nan) is None
    assert find_difference(math.nan, 0.0, loose) is not None
    assert find_difference(math.inf, math.inf) is None
    assert find_difference(math.inf, 1e308, loose) is not None
    assert find_difference(math.inf, -math.inf, loose) is not None


def test_a_bool_is_no_number_and_an_int_is_one_like_a_float() -> None:
    assert find_difference(1, 1.0) is None
    assert find_difference(True, 1) is not None
    assert find_difference(1, True) is not None
    assert find_difference("1", 1) is not None
    assert find_difference(None, 0, Tolerance(Bounds(absolute=1))) is not None


def test_missing_and_surplus_fields_are_differences() -> None:
    assert str(find_difference({"a": 1}, {"a": 1, "b": 2})) == "b is nothing, expected 2"
    assert str(find_difference({"a": 1, "b": 2}, {"a": 1})) == "b is 2, expected nothing"
    assert str(find_difference({"a": [1, 2]}, {"a": [1]})) == "a is a list of 2, expected a list of 1"


def test_fields_have_bounds_of_their_own_wherever_they_are_in_lists() -> None:
    got = {"mean": 1.05, "boxes": [{"x": 1.0}, {"x": 2.4}]}
    expected = {"mean": 1.0, "boxes": [{"x": 1.0}, {"x": 2.0}]}
    assert find_difference(got, expected, Tolerance(fields={"mean": Bounds(absolute=0.1), "boxes.x": Bounds(absolute=0.5)})) is None
    found = find_difference(got, expected, Tolerance(fields={"mean": Bounds(absolute=0.1), "boxes.x": Bounds(absolute=0.3)}))
    assert found is not None and found.path == "boxes[1].x"
    assert find_difference(got, expected, Tolerance(ignored=frozenset({"mean", "boxes"}))) is None
    assert find_difference({"a": 1.4}, {"a": 1.0}, Tolerance(Bounds(absolute=1), {"a": Bounds(absolute=0.1)})) is not None


def test_times_are_compared_by_seconds_and_with_their_text() -> None:
    at = datetime(2012, 1, 1, 12, 0, 0, 500_000, UTC)
    assert find_difference(at, "2012-01-01T12:00:00.5Z") is None
    assert find_difference(at, "2012-01-01T14:00:00.5+02:00") is None
    assert find_difference(at, "2012-01-01T12:00:01Z") is not None
    assert find_difference(at, "2012-01-01T12:00:01Z", Tolerance(seconds=0.5)) is None
    assert find_difference(at, "noon") is not None
    assert find_difference(timedelta(seconds=90), "PT89S", Tolerance(seconds=1)) is None
    assert find_difference(timedelta(seconds=90), "PT88S", Tolerance(seconds=1)) is not None


def test_bytes_are_compared_with_their_base64() -> None:
    image = plain(Image("png", 1, 1, b"abc"))
    assert find_difference(image, {"format": "png", "width": 1, "height": 1, "data": base64.b64encode(b"abc").decode()}) is None
    found = find_difference(image, {"format": "png", "width": 1, "height": 1, "data": "AAAA"})
    assert found is not None and (found.path, found.got) == ("data", "3 bytes")
    assert find_difference(image, {"format": "png", "width": 1, "height": 1, "data": "not base64"}) is not None


def test_records_are_compared_as_the_dicts_that_they_are_in_json() -> None:
    class Day(msgspec.Struct):
        date: datetime
        rain: float | None

    day = Day(datetime(2012, 1, 1, tzinfo=UTC), None)
    assert find_difference(plain(day), {"date": "2012-01-01T00:00:00Z", "rain": None}, EXACT) is None
    assert str(find_difference(plain(day), {"date": "2012-01-01T00:00:00Z", "rain": 0.0})) == "rain is None, expected 0.0"


def test_what_is_shown_of_a_difference_is_short() -> None:
    found = find_difference("x" * 10_000, "y" * 10_000)
    assert found is not None and len(str(found)) < 400
