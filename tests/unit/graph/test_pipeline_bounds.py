"""A pipeline file cannot cost more than its size warrants."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from thalweg.errors import RejectedError
from thalweg.graph.pipeline import load_pipeline

VERTEX = "backend: b\nvertices:\n  v:\n    component: c@1.0.0\n    params:\n"


def test_aliases_that_multiply_are_refused_early(tmp_path: Path) -> None:
    lines = ["      a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"      {low}: &{low} [{', '.join(['*' + up] * 9)}]" for up, low in zip("abcdefgh", "bcdefghi", strict=True)]
    (tmp_path / "bomb.yaml").write_text(VERTEX + "\n".join(lines))
    started = time.process_time()
    with pytest.raises(RejectedError, match="holds more than 262,144 values"):
        load_pipeline(tmp_path / "bomb.yaml")
    assert time.process_time() - started < 5


def test_many_keys_are_read_in_linear_time_and_one_given_twice_is_told(tmp_path: Path) -> None:
    keys = "".join(f"      k{index}: 1\n" for index in range(12_000))
    (tmp_path / "many.yaml").write_text(VERTEX + keys)
    started = time.process_time()
    assert len(load_pipeline(tmp_path / "many.yaml").vertices["v"].params) == 12_000
    assert time.process_time() - started < 5
    (tmp_path / "twice.yaml").write_text(f"{VERTEX}{keys}      k7: 2\n")
    with pytest.raises(RejectedError, match="'k7' is given twice"):
        load_pipeline(tmp_path / "twice.yaml")
