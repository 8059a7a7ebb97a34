"""A diagnosis as people read it: bounded records, names within expressions, lines of text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg import Image
from thalweg.bus.counted import parse_time_ns
from thalweg.client.diagnosis.facts import Sample
from thalweg.client.diagnosis.naming import fields_named, names_in
from thalweg.client.diagnosis.showing import bounded
from thalweg_cli.diagnosis_text import lines
from unit.diagnosis.observed import RUNNING, diagnosed, edge, facts, said, vertex

json_like = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text("ab é", max_size=300), st.binary(max_size=300)),
    lambda inner: st.one_of(st.lists(inner, max_size=30), st.dictionaries(st.text("abc", max_size=5), inner, max_size=60)),
    max_leaves=40,
)


@settings(max_examples=60, deadline=None)
@given(json_like)
def test_any_record_is_shown_as_json(value: Any) -> None:
    json.dumps(bounded(value), allow_nan=False)


def test_an_image_and_long_values_are_told_by_their_size() -> None:
    shown = bounded(
        {
            "image": Image(format="png", width=3, height=4, data=b"x" * 5000),
            "text": "y" * 5000,
            "many": list(range(5000)),
            "deep": [[[[[[[1]]]]]]],
        }
    )
    assert shown["image"]["data"] == "5,000 bytes" and len(shown["text"]) < 300 and len(shown["many"]) < 20
    assert len(json.dumps(shown)) < 1000


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('celsius > 30.5e3 && room == "attic"', ["celsius", "room"]),
        ("pos.x + pos.y > 1 && r'pos.z' == name", ["pos.x", "pos.y", "name"]),
        ("has(value.kind)", ["has", "value.kind"]),
        ("", []),
    ],
)
def test_names_in_an_expression_are_found_and_texts_are_not(text: str, names: list[str]) -> None:
    assert names_in(text) == names


def test_the_values_of_named_fields_are_taken_from_the_record() -> None:
    record = {"pos": {"x": 3}, "celsius": 20.5, "room": "hall"}
    named = fields_named({"where": "pos.x > 5 || celsius > 30.0", "keep": ["room"], "limit": 3}, record)
    assert [(one.field, one.value, one.place) for one in named] == [
        ("pos.x", 3, "where"),
        ("celsius", 20.5, "where"),
        ("room", "hall", "keep[0]"),
    ]
    assert fields_named({"where": "value > 5"}, 3)[0].value == 3
    assert fields_named({"where": "value > 5"}, None) == []


def test_the_text_has_the_flow_the_end_and_the_record() -> None:
    keep = vertex("keep", edge("rows"), params={"where": "celsius > 30.0"})
    graph = [vertex("rows"), keep, vertex("save", edge("keep"), outputs=())]
    commits = {"rows": said(1461, 1461, ended=True), "keep": said(1461, 0, filtered=1461, ended=True), "save": said(ended=True)}
    sample = Sample("rows.out>in", 7, 3, 5, {"celsius": 20.5})
    told = list(lines(diagnosed(facts(commits, graph, rejected={"keep": sample}, idle_s=dict.fromkeys(commits, 9.0)))))
    assert told[0] == "d: finished, b, generation 1"
    assert told[2].split() == ["keep", "1,461", "in", "0", "out", "ended", "✗", "from", "rows"]
    assert "nothing reaches save: rows → keep ✗ → save" in told
    assert '  rejected: rows.out>in 7:3 {"celsius": 20.5}' in told
    assert not any(line.startswith("nothing is wrong") for line in told)


def test_a_healthy_graph_says_so_with_its_figures() -> None:
    told = list(lines(diagnosed(facts(RUNNING))))
    starting = list(lines(diagnosed(facts({}, deployed_s=1))))
    assert "nothing reaches save yet: rows ✗ → keep → save" in starting
    assert "nothing is wrong so far: 0 records at save; nothing waits" in starting
    assert told[-1] == "nothing is wrong: 60 records at save; nothing waits"


def test_nothing_that_a_record_holds_moves_the_cursor() -> None:
    letter = Sample("", 9, 0, None, "\x1b[2J", "no\x1b[2J\nway", "row 3")
    told = list(lines(diagnosed(facts({**RUNNING, "keep": said(100, 60, dead=40)}, dead={"keep": letter}))))
    assert all(line.isprintable() for line in told) and any("row 3: no [2J way" in line for line in told)


def test_times_of_the_server_are_read_to_the_nanosecond() -> None:
    assert parse_time_ns("1970-01-01T00:00:01.000000002Z") == 1_000_000_002
    assert parse_time_ns("1970-01-01T00:00:01Z") == 1_000_000_000
    assert parse_time_ns("1970-01-01T01:00:01.5+01:00") == 1_500_000_000
