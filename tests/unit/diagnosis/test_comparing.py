"""What a fixture holds against what is live: differences that matter, and none where there are none."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.client.diagnosis.comparing import Use, compare, uses_behind
from thalweg.client.diagnosis.findings import Finding
from thalweg.client.diagnosis.profiles import One, Profile, kind_of, profile
from thalweg.wire.spec import DeploymentSpec
from unit.diagnosis.observed import edge, vertex

SECOND = 1_000_000_000
ROOMS = ("bath", "hall", "kitchen")
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.text("abxyz é", max_size=12))
fields = st.dictionaries(st.text("abcde", min_size=1, max_size=3), st.one_of(scalars, st.lists(scalars, max_size=3)), max_size=5)
many = st.lists(fields, min_size=1, max_size=30)


def seen(values: list[Any], step_s: float = 1.0) -> Profile:
    return profile(
        One(value, len(msgspec.msgpack.encode(value)), number * int(step_s * SECOND), number) for number, value in enumerate(values)
    )


def rows(count: int = 60, **more: Any) -> list[dict[str, Any]]:
    return [{"celsius": 20.0 + n % 5, "room": ROOMS[n % 3], **more} for n in range(count)]


def differences(fixture: Profile, live: Profile, uses: dict[str, list[Use]] | None = None) -> list[tuple[str, str, str | None]]:
    return [(one.severity, one.code, one.place) for one in compare(fixture, live, uses or {})]


@settings(max_examples=60, deadline=None)
@given(many)
def test_what_is_like_the_fixture_does_not_differ(values: list[dict[str, Any]]) -> None:
    assert compare(seen(values), seen(values), {}) == []


@settings(max_examples=60, deadline=None)
@given(many, st.randoms(use_true_random=False))
def test_the_order_of_records_tells_nothing_of_their_fields(values: list[dict[str, Any]], rng: random.Random) -> None:
    shuffled = list(values)
    rng.shuffle(shuffled)
    about_fields = [one for one in compare(seen(values), seen(shuffled), {}) if one.place is not None]
    assert about_fields == []


@settings(max_examples=60, deadline=None)
@given(many)
def test_a_field_that_is_left_out_is_missed_and_one_that_is_added_is_extra(values: list[dict[str, Any]]) -> None:
    more = [{**value, "added": 1} for value in values]
    assert ("warning", "fixture.field_missing", "added") in differences(seen(more), seen(values))
    assert ("note", "fixture.field_extra", "added") in differences(seen(values), seen(more))


@settings(max_examples=60, deadline=None)
@given(many, many)
def test_what_is_told_is_sound(fixture: list[dict[str, Any]], live: list[dict[str, Any]]) -> None:
    """Every finding about a field is one that the records bear out."""
    for one in compare(seen(fixture), seen(live), {}):
        test, real = ([value[one.place] for value in some if one.place in value] for some in (fixture, live))
        if one.code == "fixture.field_missing":
            assert test and not real
        elif one.code == "fixture.field_extra":
            assert real and not test
        elif one.code == "fixture.type":
            assert {kind_of(value) for value in real} - {kind_of(value) for value in test} - {"null"}
        elif one.code == "fixture.null":
            assert (None in real or len(real) < len(live)) and None not in test and len(test) == len(fixture)


@settings(max_examples=60, deadline=None)
@given(many)
def test_a_profile_is_bounded_and_counts_all_records(values: list[dict[str, Any]]) -> None:
    told = seen(values)
    assert told.records == len(values) and told.size_p50 <= told.size_p99
    assert all(one.count <= len(values) and one.nulls + sum(one.kinds.values()) == one.count for one in told.fields.values())


def test_a_field_of_another_type_is_told_with_who_names_it() -> None:
    uses = {"celsius": [Use("hot", "where", "celsius > 30.0")]}
    live = seen([{**row, "celsius": str(row["celsius"])} for row in rows()])
    (one,) = compare(seen(rows()), live, uses)
    assert (one.severity, one.code, one.place) == ("fault", "fixture.type", "celsius")
    assert "float in the fixture, and str (60 times) live" in one.sentence and "hot (where: celsius > 30.0)" in one.sentence
    assert one.evidence["used_by"] == [{"vertex": "hot", "param": "where", "text": "celsius > 30.0"}]
    assert differences(seen(rows()), live) == [("warning", "fixture.type", "celsius")]


def test_nulls_that_the_fixture_never_has_are_told() -> None:
    live = rows()
    live[7]["celsius"] = None
    del live[8]["room"]
    told = differences(seen(rows()), seen(live))
    assert told == [("warning", "fixture.null", "celsius"), ("warning", "fixture.null", "room")]
    assert differences(seen(live), seen(rows())) == []


def test_values_that_an_enumeration_does_not_have_are_told() -> None:
    live = rows()
    live[3]["room"] = "attic"
    (one,) = compare(seen(rows()), seen(live), {})
    assert (one.code, one.place, one.evidence["new"]) == ("fixture.new_values", "room", ["attic"])
    names = [{"name": f"n{n}"} for n in range(60)]  # each once: no enumeration
    assert differences(seen(names), seen([{"name": f"m{n}"} for n in range(60)])) == []


def test_a_renamed_field_is_suspected() -> None:
    live = [{"celsius_in": row["celsius"], "room": row["room"]} for row in rows()]
    one = compare(seen(rows()), seen(live), {})[0]
    assert one.code == "fixture.field_missing" and one.hint == "was it renamed to celsius_in?"


def test_ranges_are_told_where_they_are_named_or_far_and_counters_are_left_alone() -> None:
    warmer = seen([{**row, "celsius": row["celsius"] + 2} for row in rows()])
    assert differences(seen(rows()), warmer) == []
    uses = {"celsius": [Use("hot", "where", "celsius > 30.0")]}
    assert differences(seen(rows()), warmer, uses) == [("warning", "fixture.range", "celsius")]
    fahrenheit = seen([{**row, "celsius": row["celsius"] * 1.8 + 32} for row in rows()])
    assert differences(seen(rows()), fahrenheit) == [("warning", "fixture.range", "celsius")]
    assert differences(seen([{"n": n} for n in range(60)]), seen([{"n": n + 9000} for n in range(60)])) == []


def test_sizes_and_rates_are_told_by_their_factor() -> None:
    assert differences(seen(rows()), seen(rows(text="x" * 500)))[0] == ("warning", "fixture.size", None)
    assert differences(seen(rows(), step_s=60.0), seen(rows())) == [("warning", "fixture.rate", None)]
    ordinals = profile(One(value, 10, number, number) for number, value in enumerate(rows()))
    assert ordinals.rate is None  # ordinals in the place of times are no times


def test_gaps_in_what_the_log_still_has_do_not_change_the_rate() -> None:
    thinned = [One(row, 10, number * SECOND, number) for number, row in enumerate(rows(600)) if number % 50 == 0]
    assert profile(thinned).rate == 1.0


def test_inner_records_are_compared_and_told_once() -> None:
    test = [{"at": {"x": 1, "y": 2}, "n": n % 7} for n in range(20)]
    assert differences(seen(test), seen([{"n": n % 7} for n in range(20)]))[0] == ("warning", "fixture.field_missing", "at")
    moved = seen([{"at": {"x": "1", "y": 2}, "n": n % 7} for n in range(20)])
    assert differences(seen(test), moved, {"at.x": [Use("hot", "where", "at.x > 3")]}) == [("fault", "fixture.type", "at.x")]


def test_nothing_to_compare_is_a_fault_of_its_own() -> None:
    assert differences(seen(rows()), seen([])) == [("fault", "fixture.no_live", None)]
    assert differences(seen([]), seen(rows())) == [("fault", "fixture.empty", None)]


def test_values_that_are_no_records_are_compared_too() -> None:
    times = [dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in range(1, 9)]
    assert differences(seen([1, 2, 3]), seen(times))[0] == ("warning", "fixture.type", "value")


def test_params_behind_a_source_are_looked_through_for_names() -> None:
    hot = vertex("hot", edge("rows"), params={"where": 'celsius > 30.0 && room == "attic"'})
    mean = vertex("mean", edge("hot"), params={"key": ["room"], "aggregates": {"high": {"op": "max", "field": "at.celsius"}}})
    aside = vertex("aside", params={"where": "humidity > 1"})
    found = uses_behind(DeploymentSpec("w", "d", "b", [vertex("rows"), hot, mean, aside]), "rows")
    assert found["celsius"] == [Use("hot", "where", 'celsius > 30.0 && room == "attic"')]
    assert found["room"] == [Use("hot", "where", 'celsius > 30.0 && room == "attic"'), Use("mean", "key[0]", "room")]
    assert found["at.celsius"] == [Use("mean", "aggregates.high.field", "at.celsius")]
    assert "attic" not in found and "humidity" not in found


def test_findings_that_meet_a_param_come_first() -> None:
    live = [{"celsius": str(row["celsius"]), "room": 5} for row in rows()]
    told: list[Finding] = compare(seen(rows()), seen(live), {"room": [Use("hot", "where", "room == 'x'")]})
    assert [one.place for one in told if one.code == "fixture.type"] == ["room", "celsius"]
