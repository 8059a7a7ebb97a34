"""Pauses between tries at an outside server."""

from __future__ import annotations

import logging

import pytest

from thalweg_components.backoff import MAX_PAUSE_S, Backoff


def test_pauses_grow_to_a_limit_and_begin_again_after_success(caplog: pytest.LogCaptureFixture) -> None:
    backoff = Backoff(logging.getLogger("thalweg.vertex.v"), "mqtt://broker")
    with caplog.at_level(logging.INFO):
        pauses = [backoff.failed(OSError("refused")) for _ in range(20)]
        backoff.worked()
    assert pauses[0] <= 0.2 and MAX_PAUSE_S / 2 <= pauses[-1] <= MAX_PAUSE_S
    told = [record.getMessage() for record in caplog.records]
    assert told == ["mqtt://broker: OSError: refused; trying again", "mqtt://broker: back after 20 failed tries"]
    assert backoff.failed(OSError("refused")) <= 0.2
