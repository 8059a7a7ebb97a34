"""What a teardown's report looks like."""

from __future__ import annotations

import pytest

from thalweg.api.deployments import Outcome, Report
from thalweg_cli.deployments import show_report


def report(outcome: Outcome) -> Report:
    facts = {"backend": "b", "revision": 1, "generation": 1, "deployed_ns": 1, "time_ns": 2}
    return Report(name="live", outcome=outcome, missing=["a.slot"], unfinished=["a"], failure="a: broke", **facts)


def test_nothing_is_amiss_where_nothing_was_to_be_saved(capsys: pytest.CaptureFixture[str]) -> None:
    show_report(report("discarded"))
    told = capsys.readouterr()
    assert (told.out, told.err) == ("live: discarded; it had failed: a: broke\n", "")


def test_what_was_not_saved_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    show_report(report("failed"))
    told = capsys.readouterr()
    assert told.out == "live: removed\n" and told.err.count("error: ") == 3
