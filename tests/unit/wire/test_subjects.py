"""Patterns of subjects."""

from __future__ import annotations

import pytest

from thalweg.wire.subjects import matches


@pytest.mark.parametrize(
    ("pattern", "subject", "is_one"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*", "a", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.*.c.>", "a.b.c.d", True),
        ("a.*.c.>", "a.b.d.d", False),
        (">", "a.b", True),
    ],
)
def test_a_pattern_covers_its_subjects(pattern: str, subject: str, is_one: bool) -> None:
    assert matches(pattern, subject) is is_one
