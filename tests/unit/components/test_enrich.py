"""Looking things up in a bound table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg import RecordError, RejectedError
from thalweg.graph.types import format_type

Drive = Callable[..., Any]
KIND = "record{station: str?, n: int}"
TABLE = "code,city name,height,note\nA,Aachen,173,\nB,Bonn,60,wet\n,Nowhere,0,\n"
RECORDS = [{"station": station, "n": n} for n, station in enumerate(["B", "X", None, "A"])]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "stations.csv"
    path.write_text(TABLE)
    return path


def enriched(drive: Drive, table: Path, records: Any = RECORDS, kind: str = KIND, **params: Any) -> Any:
    given = {"key": {"code": "station"}} | params
    return drive("enrich", records, types={"in": kind}, files={"table": table}, params=given)


def test_records_get_the_columns_of_their_row(drive: Drive, table: Path) -> None:
    found = enriched(drive, table, add=["city name", "height"], prefix="st_")
    assert format_type(found.types["out"]) == "record{station: str?, n: int, st_city_name: str?, st_height: int?}"
    assert [(one.n, one.st_city_name, one.st_height) for one in found.out] == [
        (0, "Bonn", 60),
        (1, None, None),
        (2, None, None),
        (3, "Aachen", 173),
    ]


def test_records_without_a_row_are_dropped_or_faulty_as_asked(drive: Drive, table: Path) -> None:
    dropped = enriched(drive, table, missing="drop")
    assert format_type(dropped.types["out"]) == "record{station: str?, n: int, city_name: str, height: int, note: str?}"
    assert [(one.n, one.note) for one in dropped.out] == [(0, "wet"), (3, None)]
    with pytest.raises(RecordError, match="the table has no row for 'X'"):
        enriched(drive, table, missing="fail")


def test_a_key_of_several_expressions_and_number_types_is_found(drive: Drive, table: Path) -> None:
    records = [{"s": "b", "h": 60.0}, {"s": "b", "h": 61.0}]
    key = {"code": 's == "b" ? "B" : s', "height": "h"}
    found = enriched(drive, table, records, "record{s: str, h: float}", key=key)
    assert [one.note for one in found.out] == ["wet", None]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"key": {"cod": "station"}}, "the table has no column 'cod'"),
        ({"key": {"code": "stat"}}, "unknown field 'stat'"),
        ({"key": {"height": "station"}}, "'station' is str, the column is int"),
        ({"add": ["nothing"]}, "add: the table has no column 'nothing'"),
        ({"columns": {"note": "int?"}, "add": ["note"]}, "'wet' is not int"),
        ({"max_rows": 2}, "more than 2 rows"),
        ({"delimiter": ";"}, "the table has no column 'code'"),
    ],
)
def test_what_does_not_fit_is_rejected(drive: Drive, table: Path, params: dict[str, Any], message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        enriched(drive, table, **params)


def test_two_rows_of_one_key_and_a_field_that_is_there_already_are_rejected(drive: Drive, table: Path) -> None:
    with table.open("a") as file:
        file.write("A,Aalen,430,\n")
    with pytest.raises(RejectedError, match="row 4 has the key of another one: 'A'"):
        enriched(drive, table)
    with pytest.raises(RejectedError, match="'height' would be there twice"):
        enriched(drive, table, kind="record{station: str, height: int}")


def test_a_table_without_rows_knows_nothing(drive: Drive, table: Path) -> None:
    table.write_text("code,city\n")
    assert [one.city for one in enriched(drive, table, columns={"code": "str", "city": "str"}).out] == [None] * 4
