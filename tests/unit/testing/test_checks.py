"""Checks and their verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import RejectedError
from thalweg.graph.pipeline import Count
from thalweg.sdk.values import RecordError
from thalweg.testing.checks import (
    AnyRecord,
    Check,
    EveryRecord,
    GoldenRecords,
    NoRecord,
    RecordAt,
    Verdict,
    check_count,
    check_digest,
    check_failure,
)
from thalweg.testing.comparing import Bounds, Tolerance
from thalweg.testing.generated import compare_files, count_rows
from thalweg.testing.goldens import GoldenWriter, read_golden
from thalweg.testing.updating import UpdatedGolden, update_file


def positive(value: Any) -> bool:
    if value is None:
        raise RecordError("has no value")
    return bool(value > 0)


def verdict(check: Check, *values: Any) -> Verdict:
    for value in values:
        check.take(value)
    return check.verdict()


def test_every_names_the_first_record_that_breaks_it() -> None:
    found = verdict(EveryRecord(positive), 1, -2, -3)
    assert not found.is_met and found.reason == "is not true for record 1"
    assert found.broken is not None and (found.broken.index, found.broken.value) == (1, "-2")
    assert verdict(EveryRecord(positive), 1, 2).is_met


def test_every_is_not_met_where_there_is_no_record() -> None:
    assert verdict(EveryRecord(positive)) == Verdict(False, "there is no record")


def test_a_record_that_an_expression_has_no_value_for_breaks_every_and_none() -> None:
    assert verdict(EveryRecord(positive), 1, None).reason == "has no value for record 1"
    assert verdict(NoRecord(positive), -1, None).reason == "has no value for record 1"
    assert verdict(AnyRecord(positive), None, 1).is_met


def test_any_and_none_are_opposites_where_there_are_values() -> None:
    for values in ((), (-1,), (-1, 1), (1, 1)):
        assert verdict(AnyRecord(positive), *values).is_met != verdict(NoRecord(positive), *values).is_met


@pytest.mark.parametrize(
    ("index", "values", "reason"),
    [
        (0, (1, -1), "true for record 0"),
        (None, (1, -1), "is not true for record 1"),
        (1, (1, -1, 1), "is not true for record 1"),
        (2, (1, 1), "there is no record 2, only 2"),
        (None, (), "there is no record"),
    ],
)
def test_one_record_is_checked_by_its_place(index: int | None, values: tuple[int, ...], reason: str) -> None:
    found = verdict(RecordAt(positive, index), *values)
    assert found.reason == reason
    assert found.is_met == reason.startswith("true")


@pytest.mark.parametrize(
    ("got", "golden", "reason"),
    [
        ([1, 2], [1, 2], "2 records as in the golden file"),
        ([1, 3], [1, 2], "record 1: value is 3, expected 2"),
        ([1], [1, 2, 3], "got 1 record, the golden file has 3"),
        ([1, 2, 3], [1], "got 3 records, the golden file has 1"),
        ([], [], "0 records as in the golden file"),
    ],
)
def test_golden_records_are_compared_in_order_and_in_number(got: list[int], golden: list[int], reason: str) -> None:
    found = verdict(GoldenRecords(iter(golden)), *got)
    assert found.reason == reason
    assert found.is_met == (got == golden)


def test_counts_say_what_was_expected() -> None:
    assert check_count("records", 3, Count(min=3, max=3)).is_met
    assert check_count("records", 2, Count(min=3, max=3)).reason == "got 2 records, expected exactly 3"
    assert check_count("records", 2, Count(min=3)).reason == "got 2 records, expected at least 3"
    assert check_count("records", 5, Count(max=4)).reason == "got 5 records, expected at most 4"
    assert check_count("records", 5, Count(min=1, max=4)).reason == "got 5 records, expected 1 to 4"


def test_a_digest_may_be_shortened() -> None:
    assert check_digest("ab" * 32, "ab" * 6).is_met
    assert not check_digest("ab" * 32, "ab" * 5 + "ba").is_met


@pytest.mark.parametrize(
    ("wanted", "is_met"),
    [
        ((None, None, None), True),
        (("rows", "data.invalid", "row 3"), True),
        (("wet", None, None), False),
        ((None, "data", None), False),
        ((None, None, "row 4"), False),
    ],
)
def test_a_failure_has_to_be_the_one_that_is_expected(wanted: tuple[str | None, str | None, str | None], is_met: bool) -> None:
    found = check_failure("rows", "data.invalid", "rows: row 3, column wind", wanted)
    assert found.is_met == is_met
    assert ("expected" in found.reason) != is_met


def test_a_run_that_does_not_fail_is_no_failure() -> None:
    assert check_failure(None, "", "", (None, None, None)) == Verdict(False, "the run did not fail")


def test_golden_lines_that_are_no_json_are_named(tmp_path: Path) -> None:
    (tmp_path / "g.jsonl").write_text('{"a": 1}\n\n{"a": \n')
    with pytest.raises(RejectedError, match=r"g\.jsonl, line 3: is not JSON"):
        list(read_golden(tmp_path / "g.jsonl"))


def test_a_golden_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "golden" / "g.jsonl"
    for value, ends in ((1, GoldenWriter.keep), (2, GoldenWriter.drop)):
        writer = GoldenWriter(path)
        writer.take({"a": value})
        ends(writer)
    assert [one.name for one in path.parent.iterdir()] == ["g.jsonl"]
    assert path.read_text() == '{"a": 1}\n'


def test_an_update_writes_what_is_missing_or_differs_beyond_the_tolerance(tmp_path: Path) -> None:
    path, loose = tmp_path / "g.jsonl", Tolerance(Bounds(absolute=0.5))
    assert verdict(UpdatedGolden(path, loose), 1.0, 2.0).reason == "written: g.jsonl"
    assert verdict(UpdatedGolden(path, loose), 1.0, 2.25).reason == "2 records as in the golden file"
    assert path.read_text() == "1.0\n2.0\n"
    assert verdict(UpdatedGolden(path, loose), 1.0, 3.0).reason == "written: g.jsonl"
    assert path.read_text() == "1.0\n3.0\n"
    assert verdict(UpdatedGolden(tmp_path / "empty.jsonl", loose)).reason == "written: empty.jsonl"
    assert (tmp_path / "empty.jsonl").read_text() == ""


def csv_table(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("\n".join([",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]) + "\n")


def jsonl_table(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def parquet_table(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize(("kind", "write"), [("csv", csv_table), ("jsonl", jsonl_table), ("parquet", parquet_table)])
@pytest.mark.parametrize(("golden_kind", "write_golden"), [("csv", csv_table), ("jsonl", jsonl_table), ("parquet", parquet_table)])
def test_tables_are_compared_by_rows_whatever_their_format(
    kind: str, write: Callable[..., None], golden_kind: str, write_golden: Callable[..., None], tmp_path: Path
) -> None:
    got, golden, loose = tmp_path / f"got.{kind}", tmp_path / f"golden.{golden_kind}", Tolerance(Bounds(absolute=0.1))
    write(got, [{"name": "a", "mean": 1.25}, {"name": "b", "mean": 2.0}])
    write_golden(golden, [{"name": "a", "mean": 1.3}, {"name": "b", "mean": 2.0}])
    assert count_rows(got, kind) == 2
    assert compare_files(got, golden, kind, loose).is_met
    assert compare_files(got, golden, kind, Tolerance()).reason == "record 0: mean is 1.25, expected 1.3"
    write_golden(golden, [{"name": "a", "mean": 1.25}])
    assert compare_files(got, golden, kind, loose).reason == "got 2 records, the golden file has 1"


def test_text_is_compared_by_line_and_other_files_by_byte(tmp_path: Path) -> None:
    got, golden = tmp_path / "got", tmp_path / "golden"
    golden.write_bytes(b"one\ntwo\n")
    for body, reason in (
        (b"one\ntwo\n", "as the golden file, byte by byte"),
        (b"one\nthree\n", "line 2 is 'three', expected 'two'"),
        (b"one\n", "line 2 is nothing, expected 'two'"),
        (b"\xff\xfe", "bytes differ: got 2 bytes, the golden file has 8"),
    ):
        got.write_bytes(body)
        assert compare_files(got, golden, "text", Tolerance()).reason == reason


def test_directories_are_compared_by_their_files(tmp_path: Path) -> None:
    got, golden = tmp_path / "got", tmp_path / "golden"
    for root in (got, golden):
        (root / "inner").mkdir(parents=True)
        (root / "inner" / "a.txt").write_text("a")
    assert compare_files(got, golden, "directory", Tolerance()).is_met
    (got / "inner" / "a.txt").write_text("b")
    assert compare_files(got, golden, "directory", Tolerance()).reason == "inner/a.txt: line 1 is 'b', expected 'a'"
    (golden / "inner" / "0.txt").write_text("")
    assert compare_files(got, golden, "directory", Tolerance()).reason == "inner/0.txt is missing"
    (golden / "inner" / "0.txt").rename(golden / "z.txt")
    (golden / "z.txt").unlink()
    (got / "z.txt").write_text("")
    (got / "inner" / "a.txt").write_text("a")
    assert compare_files(got, golden, "directory", Tolerance()).reason == "z.txt is not in the golden directory"
    assert not compare_files(got, golden / "inner" / "a.txt", "directory", Tolerance()).is_met


def test_a_golden_directory_is_replaced_by_what_was_left(tmp_path: Path) -> None:
    left, golden = tmp_path / "left", tmp_path / "golden"
    for root, name in ((left, "new"), (golden, "old")):
        root.mkdir()
        (root / name).touch()
    assert update_file(left, golden).is_met
    assert [one.name for one in golden.iterdir()] == ["new"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["golden", "left"]
