"""What is left on a log for going back: as long or as much as was asked for, unless a subject gets full."""

from __future__ import annotations

from typing import Any

from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.delaying import MARKS, TrimDelay


def spec(**keep: Any) -> DeploymentSpec:
    return DeploymentSpec("w", "d", "b", [], max_messages_per_subject=100, **keep)


def test_what_was_needed_a_while_ago_is_kept_for_that_while() -> None:
    delay, kept = TrimDelay(), spec(keep_s=10.0)
    for second in range(10):
        assert delay.hold_back(kept, {"x": 5 * second}, second, {}, float(second)) == []
    assert delay.hold_back(kept, {"x": 60}, 12, {}, 12.0) == [("x", 10)]
    assert delay.hold_back(kept, {"x": 60}, 14, {}, 17.5) == [("x", 35)]


def test_a_number_of_messages_is_counted_over_the_whole_log() -> None:
    delay, kept = TrimDelay(), spec(keep_messages=1000)
    assert delay.hold_back(kept, {"x": 7}, 500, {}, 0.0) == []
    assert delay.hold_back(kept, {"x": 900}, 1499, {}, 1.0) == []
    assert delay.hold_back(kept, {"x": 1400}, 1500, {}, 2.0) == [("x", 7)]


def test_a_subject_that_gets_full_is_trimmed_whatever_is_to_be_kept() -> None:
    delay, kept = TrimDelay(), spec(keep_s=1000.0)
    for second in range(0, 400, 40):
        delay.hold_back(kept, {"x": second}, second, {}, float(second))
    assert delay.hold_back(kept, {"x": 400, "y": 400}, 400, {"x": 74, "y": 10}, 400.0) == []
    ((subject, half),) = delay.hold_back(kept, {"x": 400, "y": 400}, 400, {"x": 76, "y": 10}, 400.0)
    assert subject == "x" and 0 < half < 400
    assert delay.hold_back(kept, {"x": 400, "y": 400}, 400, {"x": 88, "y": 10}, 400.0) == [("x", 400)]


def test_nothing_goes_that_a_vertex_which_went_back_needs_again() -> None:
    delay, kept = TrimDelay(), spec(keep_s=10.0)
    delay.hold_back(kept, {"x": 80}, 100, {}, 0.0)
    assert delay.hold_back(kept, {"x": 30}, 101, {}, 11.0) == [("x", 30)]
    assert delay.hold_back(kept, {}, 102, {}, 12.0) == []


def test_a_long_delay_is_remembered_by_few_marks() -> None:
    delay, kept = TrimDelay(), spec(keep_s=1000.0)
    for step in range(20_000):
        delay.hold_back(kept, {"x": step}, step, {}, step / 10)
    assert len(delay._marks) <= MARKS + 2
