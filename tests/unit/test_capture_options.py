"""What is to be captured, as it is written on the command line; a window, as `replay show` tells it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from thalweg.errors import UsageError
from thalweg.replay.ring import Ring
from thalweg.replay.windows import write_window
from thalweg_cli.capture_options import read_capture
from thalweg_cli.main import app
from unit.replay.logs import SPEC, log


def test_what_is_captured_is_all_where_only_its_last_part_is_wanted() -> None:
    assert read_capture(None, None, "1G", None) == {"capture": "none"}
    assert read_capture("boundary", None, "1G", None) == {"capture": "boundary"}
    found = read_capture(None, "10m", "512M", "error, dead-letter,error")
    assert found == {"capture": "all", "capture_last_s": 600.0, "capture_max_bytes": 512 << 20, "capture_on": ["error", "dead-letter"]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((None, "soon", "1G", None), "--capture-last soon: not a duration"),
        ((None, "0s", "1G", None), "--capture-last 0s: not a duration"),
        ((None, "10m", "much", None), "--capture-size much: not a size"),
        ((None, "10m", "1M", None), "--capture-size 1M: that is too small"),
        ((None, "10m", "1G", "error,fire"), "--capture-on fire: there is no such trigger"),
        (("none", "10m", "1G", None), "keeps nothing with --capture none"),
        ((None, None, "1G", "error"), "which is not kept"),
    ],
)
def test_what_cannot_be_captured_is_told(given: tuple[str | None, str | None, str, str | None], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_capture(*given)


def test_a_window_is_shown_as_one_and_not_as_incomplete(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "ring", 0.00005, 1 << 30)
    for message in log():
        ring.add(message)
    write_window(tmp_path / "window.mcap", ring, SPEC, "error: rows has failed")
    ring.close()
    shown = CliRunner().invoke(app, ["replay", "show", str(tmp_path / "window.mcap")])
    assert shown.exit_code == 0 and "INCOMPLETE" not in shown.output, shown.output
    assert shown.output.splitlines()[-1].startswith("window: messages") and shown.output.endswith("saved: error: rows has failed\n")
