"""A component from its scaffold to its yank, by the command."""

from __future__ import annotations

import json
from pathlib import Path

from integration.releasing import PIPELINE, SWING, thalweg


def test_a_published_release_runs_from_its_archive_in_an_environment_of_its_own(environment: dict[str, str], tmp_path: Path) -> None:
    def run(*words: str, code: int = 0) -> str:
        result = thalweg(environment, tmp_path, *words)
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr

    run("component", "new", "temp-swing")
    assert "1 passed" in run("component", "rehearse", "temp-swing", "--test")
    folder = tmp_path / "temp-swing"
    (folder / "temp_swing.py").write_text(SWING)
    (folder / "helper_of_swing.py").write_text("def widen(x):\n    return 0 * x\n")
    (folder / "unit.txt").write_text("°C")
    (folder / "requirements.txt").write_text("no-such-package-of-tests==1.0\n")
    assert "No matching distribution" in run("component", "publish", "temp-swing", code=3)
    (folder / "requirements.txt").write_text("tiny-shift-of-tests==1.0\n")
    assert "published temp-swing@0.1.0" in run("component", "publish", "temp-swing")
    assert "is published already" in run("component", "publish", "temp-swing")
    folder.rename(tmp_path / "moved")
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    run("apply", "pipeline.yaml")
    assert "swing.out: record{degrees: float, unit: str}" in run("validate", "pipeline.yaml")
    run("run", "pipeline.yaml")
    (written,) = (tmp_path / "out").glob("*.jsonl")
    lines = written.read_text().splitlines()
    assert len(lines) == 1461 and json.loads(lines[0]) == {"degrees": 7.0, "unit": "°C"}
    assert len([one for one in (tmp_path / "data/environments").iterdir() if one.is_dir()]) == 1
    assert "pinned by swings: swing" in run("component", "yank", "temp-swing@0.1.0", "--reason", "wrong unit")
    assert "# warning: vertex swing: temp-swing@0.1.0 is yanked: wrong unit" in run("backend", "show", "swings")
    assert "warning: vertex swing" in run("apply", "pipeline.yaml")
    assert "wrong unit" in run("backend", "outdated")
    assert "warning: it is yanked: wrong unit" in run("component", "show", "temp-swing@0.1.0")
    assert json.loads(run("component", "show", "temp-swing@0.1.0", "--json"))["yanked"] == "wrong unit"
    assert "yanked: wrong unit" in run("component", "list").replace("\n", " ")
    run("run", "pipeline.yaml", "--out", "again")
    moved = tmp_path / "moved"
    (moved / "temp_swing.py").write_text(SWING.replace("temp_max", "humidity").replace("0.1.0", "0.2.0"))
    assert "swings (swing): breaks" in run("component", "rehearse", "moved", code=3)
