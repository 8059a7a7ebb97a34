"""CEL over stream types."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from thalweg import RecordError, RejectedError
from thalweg.graph.parse import parse_type
from thalweg.graph.types import format_type
from thalweg_components.expressions import compile_expression

DAY = parse_type("record{precipitation: float, n: int, name: str, pos: record{x: float}, maybe: float?, tags: list[str]}")
HERE = SimpleNamespace(precipitation=1.5, n=3, name="é", pos=SimpleNamespace(x=2.0), maybe=None, tags=["a"])


@pytest.mark.parametrize(
    ("source", "expected", "kind"),
    [
        ("precipitation > 0", True, "bool"),
        ("0 < precipitation", True, "bool"),
        ("precipitation > -1", True, "bool"),
        ("n / 2 > 0.5", True, "bool"),
        ("n / 2 * 1.0", 1.0, "float"),
        ("n + precipitation", 4.5, "float"),
        ("precipitation * 2 + 1 > n", True, "bool"),
        ("precipitation in [1, 2]", False, "bool"),
        ("precipitation > 0 ? precipitation : 0", 1.5, "float"),
        ('name == "é" && precipitation > 1', True, "bool"),
        ("pos.x >= 2", True, "bool"),
        ("tags.exists(t, t == 'a')", True, "bool"),
        ("maybe == null", True, "bool"),
        ("maybe", None, "float?"),
        ("size(tags)", 1, "int"),
    ],
)
def test_an_int_goes_into_float_wherever_the_two_meet(source: str, expected: Any, kind: str) -> None:
    compiled = compile_expression(source, DAY)
    assert compiled.evaluate(HERE) == expected
    assert format_type(compiled.type) == kind


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("precip > 0", "unknown field 'precip' (did you mean 'precipitation'?)"),
        ("pos.y > 0", "unknown field 'pos.y' (did you mean 'pos.x'?)"),
        ("foo(n)", "unknown function 'foo'"),
        ("name > 1", "'>' does not take (str, int)"),
        ("n >", "mismatched input '<EOF>'"),
        ("", "empty"),
    ],
)
def test_a_fault_is_one_line_that_names_it(source: str, message: str) -> None:
    with pytest.raises(RejectedError) as caught:
        compile_expression(source, DAY)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_record_without_a_value_for_it_is_a_faulty_record() -> None:
    with pytest.raises(RecordError, match="divide by zero"):
        compile_expression("n / 0", DAY).evaluate(HERE)
    with pytest.raises(RecordError) as caught:
        compile_expression("maybe == null && maybe > 1", DAY).evaluate(HERE)
    assert "maybe != null" in str(caught.value.hint)


OPEN = parse_type("record{o: float?, p: int?, j: json, n: int, x: float}")
FULL = SimpleNamespace(o=2.5, p=3, j={"i": 3, "f": 1.5, "none": None}, n=7, x=20.0)
EMPTY = SimpleNamespace(o=None, p=None, j=None, n=7, x=20.0)


@pytest.mark.parametrize(
    ("source", "kind", "full", "empty"),
    [
        ("o * 2", "float?", 5.0, None),
        ("o + n", "float?", 9.5, None),
        ("p / 2", "int?", 1, None),
        ("p * x", "float?", 60.0, None),
        ("o > 2", "bool?", True, None),
        ("o == null ? 0 : o * 2", "float", 5.0, 0.0),
        ("o != null && o > 2", "bool", True, False),
        ("null == o || o > 100", "bool", False, True),
        ("j.i * 2.5", "float?", 7.5, None),
        ("j.f + 1", "float?", 2.5, None),
        ("j.i + n", "float?", 10, None),
        ("j.none + 1", "float?", None, None),
        ("j.f > 1", "bool?", True, None),
        ("x > 0x10", "bool", True, True),
    ],
)
def test_a_null_operand_makes_null_unless_the_expression_mentions_null(source: str, kind: str, full: Any, empty: Any) -> None:
    compiled = compile_expression(source, OPEN)
    assert format_type(compiled.type) == kind
    assert compiled.evaluate(FULL) == full
    assert compiled.evaluate(EMPTY) == empty
