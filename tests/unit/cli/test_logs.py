"""`thalweg logs`: times as people write them, and lines that are safe to show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thalweg.errors import UsageError
from thalweg.wire.log_record import LogRecord
from thalweg_cli.logs import parse_since, show_line
from thalweg_cli.main import app

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("10m", NOW - timedelta(minutes=10)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("2d", NOW - timedelta(days=2)),
        ("500ms", NOW - timedelta(milliseconds=500)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T10:00:00Z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T10:00+02:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_times_are_durations_or_iso(text: str, since: datetime) -> None:
    assert parse_since(text, NOW) == since


@pytest.mark.parametrize("text", ["yesterday", "10", "m", "-5m", "5 m", "2026-13-01", "999999999d", "1h30"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_since(text, NOW)
    assert refused.value.code == "since.invalid"


def test_a_line_has_no_control_characters() -> None:
    record = LogRecord(time_ns=0, level="info", logger="a", message="\x1b[2Jx\ry\nz", deployment="d", vertex="v", fields={"k": "\x07"})
    assert show_line(record) == "1970-01-01T00:00:00.000Z v info a: �[2Jx�y\n    z k=�"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("THALWEG_NATS_URL", raising=False)
    monkeypatch.setenv("THALWEG_DATA", str(tmp_path))
    return tmp_path


def test_without_a_server_the_files_are_shown(folder: Path) -> None:
    (folder / "logs/d").mkdir(parents=True)
    (folder / "logs/d/v.log").write_text("one\ntwo\n")
    assert CliRunner().invoke(app, ["logs", "d", "-n", "1"]).output == "two\n"
    refused = CliRunner().invoke(app, ["logs", "d", "--since", "1m"])
    assert refused.exit_code == 2 and "THALWEG_NATS_URL" in refused.output


@pytest.mark.parametrize("words", [["a.b"], ["d", "*"], ["../d"], ["d", ""]])
def test_names_that_are_none_are_refused(folder: Path, words: list[str]) -> None:
    done = CliRunner().invoke(app, ["logs", *words])
    assert done.exit_code == 3 and "is not a name" in done.output
