"""What `--set` and `--file` make of a pipeline file's content."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalweg.errors import RejectedError
from thalweg_cli.overrides import apply_overrides

CONTENT = {"vertices": {"rows": {"component": "csv-source@1.0.0"}}}


def test_a_file_is_looked_for_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.csv").write_text("a\n1\n")
    found = apply_overrides(CONTENT, [], ["rows.table=other.csv"])
    assert found["vertices"]["rows"]["files"] == {"table": str(tmp_path / "other.csv")}
    with pytest.raises(RejectedError, match="is not there") as refused:
        apply_overrides(CONTENT, [], ["rows.table=missing.csv"])
    assert refused.value.code == "file.missing" and refused.value.hint == f"looked in {tmp_path}, the working directory"
