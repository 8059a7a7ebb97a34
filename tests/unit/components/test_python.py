"""A function of a file of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg import RecordError, RejectedError
from thalweg.graph.types import format_type
from thalweg.testing import run_component
from thalweg_components.processors.python import Python
from thalweg_components.processors.python_code import PythonCode

Drive = Callable[..., Any]
KIND = "record{name: str, temp: float}"
RECORDS = [{"name": "a", "temp": 1.0}, {"name": "b", "temp": -2.0}]
ANNOTATED = """
from __future__ import annotations
import math
from collections.abc import Iterator
from dataclasses import dataclass

@dataclass
class Reading:
    name: str
    temp: float

@dataclass
class Verdict:
    name: str
    root: float | None
    tags: list[str]

def process(record: Reading, context) -> Iterator[Verdict]:
    if record.temp >= 0:
        yield Verdict(record.name, math.sqrt(record.temp), [str(context.time_ns)])
    yield Verdict(record.name.upper(), None, [])
"""


def ran(drive: Drive, tmp_path: Path, code: str, records: Any = RECORDS, kind: str = KIND, **params: Any) -> Any:
    (tmp_path / "code.py").write_text(code)
    return drive("python", records, types={"in": kind}, files={"code": tmp_path / "code.py"}, params=params)


def test_annotations_say_the_types_and_what_is_yielded_is_emitted(drive: Drive, tmp_path: Path) -> None:
    found = ran(drive, tmp_path, ANNOTATED)
    assert format_type(found.types["out"]) == "record{name: str, root: float?, tags: list[str]}"
    assert [(one.name, one.root, one.tags) for one in found.out] == [("a", 1.0, ["0"]), ("A", None, []), ("B", None, [])]


def test_a_declared_type_does_without_annotations_and_none_filters(drive: Drive, tmp_path: Path) -> None:
    code = "def process(record):\n    return {'t': record.temp} if record.temp > 0 else None\n"
    (tmp_path / "code.py").write_text(code)
    found = run_component(Python, RECORDS, params={"type": "record{t: float}"}, files={"code": tmp_path / "code.py"})
    assert [one.t for one in found.out] == [1.0]
    assert found.counters.filtered == 1
    assert ran(drive, tmp_path, "def process(value) -> int | None:\n    return value + 1 or None\n", [-1, 1], "int").out == [2]


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ("int", "int"),
        ("'list[dict[str, float]]'", "list[map[float]]"),
        ("datetime.datetime | None", "timestamp"),
        ("typing.Any", "json"),
        ("None | dict[str, bool | None]", "map[bool?]"),
        ("int | str", None),
        ("Unknown", None),
        ("dict[int, str]", None),
        ("list[Loop]", None),
        ("Wide0", None),
    ],
)
def test_an_annotation_is_read_without_running_the_file(annotation: str, kind: str | None) -> None:
    wide = "".join(f"class Wide{n}:\n    a: Wide{n + 1}\n    b: Wide{n + 1}\n" for n in range(30)) + "class Wide30:\n    a: int\n"
    code = f"raise SystemExit(9)\nclass Loop:\n    inner: Loop\n{wide}def process(record) -> {annotation}: ...\n"
    found = PythonCode(code.encode()).output_type()
    assert (None if found is None else format_type(found)) == kind


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def process(record) -> int:\nreturn 1\n", "no Python: line 2"),
        ("def other(record): ...\n", "no function 'process'"),
        ("async def process(record) -> int: ...\n", "no function 'process'"),
        ("def process(record): return 1\n", "what process gives cannot be told"),
        ("class R:\n    temp: int\ndef process(record: R) -> int: ...\n", "float is not int at temp"),
        ("raise ValueError('no')\ndef process(record) -> int: ...\n", "line 1: ValueError: no"),
        ("#" * 1024 * 1024 + "\n", "1048576 are allowed"),
    ],
)
def test_a_file_that_cannot_be_used_is_rejected(drive: Drive, tmp_path: Path, code: str, message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        ran(drive, tmp_path, code)


@pytest.mark.parametrize("body", ["return 1 // 0", "yield 1 // 0"])
def test_what_the_function_raises_is_a_faulty_record_with_its_line(drive: Drive, tmp_path: Path, body: str) -> None:
    with pytest.raises(RecordError, match="line 2: ZeroDivisionError"):
        ran(drive, tmp_path, f"def process(record) -> int:\n    {body}\n")


def test_a_result_of_another_type_is_a_faulty_record(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("def process(record) -> int:\n    return 'x' if record.temp < 0 else 1\n")
    found = run_component(Python, RECORDS, files={"code": tmp_path / "code.py"}, on_error="dead-letter", params={})
    assert (found.out, len(found.dead)) == ([1], 1)
