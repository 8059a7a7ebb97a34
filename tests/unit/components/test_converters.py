"""The converters, one type into another."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from thalweg import Image, RecordError, RejectedError
from thalweg.graph.parse import parse_type
from thalweg.graph.types import format_type
from thalweg.testing import run_component
from thalweg_components.casting import cast_to
from thalweg_components.converters.records_to_table import RecordsToTable
from thalweg_components.converters.table_to_records import TableToRecords

Drive = Callable[..., Any]
DAY = dt.datetime(2024, 1, 2, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("source", "target", "value", "expected"),
    [
        ("str", "float", "1e3", 1000.0),
        ("str", "int", "-12", -12),
        ("str", "bool", "true", True),
        ("str", "timestamp", "2024-01-02", DAY),
        ("float", "str", 0.1, "0.1"),
        ("float", "str", math.inf, "inf"),
        ("bool", "str", False, "false"),
        ("timestamp", "str", DAY, "2024-01-02T00:00:00Z"),
        ("duration", "str", dt.timedelta(seconds=90), "PT90S"),
        ("float", "int", 3.0, 3),
        ("int", "float", 3, 3),
        ("float", "bool", 1.0, True),
        ("bool", "int", True, 1),
        ("int", "timestamp", 1_704_153_600_000_000_000, DAY),
        ("timestamp", "int", DAY, 1_704_153_600_000_000_000),
        ("float", "duration", 1.5, dt.timedelta(seconds=1.5)),
        ("duration", "float", dt.timedelta(seconds=1.5), 1.5),
        ("list[str]", "list[int]?", ["1", "2"], [1, 2]),
        ("map[int?]", "map[str?]", {"a": 1, "b": None}, {"a": "1", "b": None}),
    ],
)
def test_values_are_cast(source: str, target: str, value: Any, expected: Any) -> None:
    cast = cast_to(parse_type(source), parse_type(target))
    assert (format_type(cast.type), cast.convert(value)) == (target, expected)


@pytest.mark.parametrize(
    ("source", "target", "value"),
    [
        ("str", "float", "1_0"),
        ("str", "int", "9" * 30),
        ("str", "int", "9" * 5000),
        ("float", "int", 2.5),
        ("float", "int", math.nan),
        ("float", "int", 1e300),
        ("int", "bool", 2),
        ("int", "timestamp", 2**63 - 1),
        ("float", "duration", 1e300),
        ("str?", "str", None),
        ("list[str]", "list[bool]", ["yes"]),
    ],
)
def test_a_value_that_is_not_of_the_type_is_a_faulty_record(source: str, target: str, value: Any) -> None:
    with pytest.raises(RecordError):
        cast_to(parse_type(source), parse_type(target)).convert(value)


@pytest.mark.parametrize(("fractions", "found"), [("nearest", [2, 4, -2]), ("down", [2, 3, -3])])
def test_fractions_are_rounded_as_asked(drive: Drive, fractions: str, found: list[int]) -> None:
    assert drive("cast", [2.5, 3.5, -2.5], types={"in": "float"}, params={"to": "int", "fractions": fractions}).out == found


@pytest.mark.parametrize(
    ("source", "target"),
    [("json", "int"), ("image", "str"), ("str", "list[str]"), ("int | str", "int"), ("record{a: int}", "record{b: int}")],
)
def test_types_without_a_way_between_them_are_rejected(source: str, target: str) -> None:
    with pytest.raises(RejectedError):
        cast_to(parse_type(source), parse_type(target))


def test_fields_are_cast_at_any_depth_and_the_others_stay(drive: Drive) -> None:
    kind = "record{id: str, pos: record{x: str, label: str}, at: timestamp}"
    given = [{"id": "7", "pos": {"x": "1.5", "label": "a"}, "at": DAY}]
    found = drive("cast", given, types={"in": kind}, params={"to": "record{id: int, pos: record{x: float}, none: int?}"})
    assert format_type(found.types["out"]) == "record{id: int, pos: record{x: float, label: str}, at: timestamp}"
    assert (found.out[0].id, found.out[0].pos["x"], found.out[0].pos["label"]) == (7, 1.5, "a")
    with pytest.raises(RecordError, match=r"^pos\.x: 'west' is not float"):
        drive("cast", [given[0] | {"pos": {"x": "west", "label": "a"}}], types={"in": kind}, params={"to": "record{pos: record{x: float}}"})
    with pytest.raises(ValidationError, match="no stream type"):
        drive("cast", types={"in": kind}, params={"to": "T"})


def test_fields_are_renamed_all_at_once(drive: Drive) -> None:
    found = drive(
        "rename", [{"a": 1, "b": "x", "c": None}], types={"in": "record{a: int, b: str, c: int?}"}, params={"fields": {"a": "b", "b": "a"}}
    )
    assert format_type(found.types["out"]) == "record{b: int, a: str, c: int?}"
    assert found.rows() == [(1, "x", None)]
    for fields, message in (({"x": "y"}, "no field 'x'"), ({"a": "c"}, "'c' would be there twice"), ({"a": "1"}, "no valid field name")):
        with pytest.raises(RejectedError, match=message):
            drive("rename", types={"in": "record{a: int, c: int}"}, params={"fields": fields})


def test_records_go_to_json_and_back(drive: Drive) -> None:
    kind = "record{id: int, at: timestamp, m: map[float?], raw: bytes}"
    records = [{"id": 1, "at": DAY, "m": {"a": None, "b": 1.5}, "raw": b"\x00"}]
    text = drive("to-json", records, types={"in": kind})
    assert text.out == ['{"id":1,"at":"2024-01-02T00:00:00Z","m":{"a":null,"b":1.5},"raw":"AA=="}']
    back = drive("from-json", text.out, types={"in": "str"}, params={"to": kind})
    assert format_type(back.types["out"]) == kind
    assert [(one.id, one.at, one.m, one.raw) for one in back.out] == [(1, DAY, {"a": None, "b": 1.5}, b"\x00")]


def test_json_is_read_out_of_one_field_and_out_of_json_values(drive: Drive) -> None:
    params = {"to": "record{id: int}", "field": "body"}
    found = drive(
        "from-json",
        [{"n": 1, "body": b'{"id": 5, "x": 0}'}, {"n": 2, "body": None}],
        types={"in": "record{n: int, body: bytes?}"},
        params=params,
    )
    assert format_type(found.types["out"]) == "record{n: int, body: record{id: int}?}"
    assert [(one.n, one.body and one.body.id) for one in found.out] == [(1, 5), (2, None)]
    assert drive("from-json", [[1, 2]], types={"in": "json"}, params={"to": "list[float]"}).out == [[1.0, 2.0]]
    back = drive("to-json", [{"n": 1, "body": [1.5]}], types={"in": "record{n: int, body: list[float]}"}, params={"field": "body"})
    assert back.rows() == [(1, "[1.5]")]
    for text in ("[", '{"id": "x"}', "[" * 100_000):
        with pytest.raises(RecordError, match=r"^not the JSON that is expected"):
            drive("from-json", [text], types={"in": "str"}, params={"to": "record{id: int}"})
    with pytest.raises(RecordError, match=r"^field body: not the JSON"):
        drive("from-json", [{"body": "x"}], types={"in": "record{body: str}"}, params=params)
    with pytest.raises(RejectedError, match="int is not str or bytes or json"):
        drive("from-json", types={"in": "int"}, params={"to": "int"})
    with pytest.raises(RejectedError, match="holds what is no JSON"):
        drive("to-json", types={"in": "record{image: image}"})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "latin-1"])
def test_text_goes_to_bytes_and_back(drive: Drive, encoding: str) -> None:
    data = drive("text-to-bytes", ["größe", ""], types={"in": "str"}, params={"encoding": encoding})
    assert data.out == ["größe".encode(encoding), b""]
    assert drive("bytes-to-text", data.out, types={"in": "bytes"}, params={"encoding": encoding}).out == ["größe", ""]


def test_what_is_no_text_is_told_with_its_place_or_replaced(drive: Drive) -> None:
    kind = {"in": "record{data: bytes?}"}
    records = [{"data": b"a\xff"}, {"data": None}]
    with pytest.raises(RecordError, match=r"field data: the byte at 1 \(0xff\) is not utf-8"):
        drive("bytes-to-text", records, types=kind, params={"field": "data"})
    found = drive("bytes-to-text", records, types=kind, params={"field": "data", "faults": "replace"})
    assert found.rows() == [("a\ufffd",), (None,)]
    with pytest.raises(RecordError, match="character 1 is not in ascii"):
        drive("text-to-bytes", ["gö"], types={"in": "str"}, params={"encoding": "ascii"})
    with pytest.raises(RejectedError, match="no field 'x'"):
        drive("text-to-bytes", types={"in": "record{a: str}"}, params={"field": "x"})


@pytest.mark.parametrize("restart_at", [None, 1, 3])
def test_records_become_tables_and_tables_records(drive: Drive, restart_at: int | None) -> None:
    records = [{"a": n, "b": None if n else "x"} for n in range(5)]
    tables = drive(
        "records-to-table",
        records,
        types={"in": "record{a: int, b: str?}"},
        params={"rows": 2},
        times=[1, 9, 3, 4, 5],
        restart_at=restart_at,
    )
    assert format_type(tables.types["out"]) == "table{a: int, b: str?}"
    assert ([len(one) for one in tables.out], tables.times) == ([2, 2, 1], [9, 4, 5])
    rows = drive("table-to-records", [*tables.out, []], types={"in": tables.types["out"]})
    assert rows.rows() == [(one["a"], one["b"]) for one in records]


def test_tables_travel_between_vertices() -> None:
    tables = run_component(RecordsToTable, [{"a": n} for n in range(3)], params={"rows": 2})
    rows = run_component(TableToRecords, tables.out, in_type=parse_type("table{a: int}"))
    assert [one.a for one in rows.out] == [0, 1, 2]
    assert run_component(RecordsToTable, [], in_type=parse_type("record{a: int}")).out == []


def test_images_are_encoded_in_the_format_and_left_alone_when_they_have_it(drive: Drive) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    image = Image.from_array(pixels, format="bgr8")
    png = drive("image-format", [{"n": 1, "image": image}], types={"in": "record{n: int, image: image<bgr8>}"}, params={"to": "image<png>"})
    assert format_type(png.types["out"]) == "record{n: int, image: image<png>}"
    assert np.array_equal(png.out[0].image.to_array(), pixels)
    assert drive("image-format", [png.out[0].image], types={"in": "image"}, params={"to": "image<png>"}).out[0] is png.out[0].image
    assert drive("image-format", [image], types={"in": "image"}, params={"to": "image<gray8>"}).out[0].to_array().shape == (4, 4)
    with pytest.raises(ValidationError):
        drive("image-format", types={"in": "image"}, params={"to": "image<webp>"})
    with pytest.raises(RecordError):
        drive("image-format", [Image("jpeg", 4, 4, b"no")], types={"in": "image"}, params={"to": "image<png>"})
