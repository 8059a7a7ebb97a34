"""When a vertex that died starts again."""

from __future__ import annotations

import pytest

from thalweg.wire.commit import Commit
from thalweg_coordinator.restarts import CRASHES_BEFORE_GIVING_UP, Attempts, decide_restart, describe_exit


def _deaths(*deaths: tuple[int, Commit | None]) -> Attempts:
    attempts = Attempts()
    for code, commit in deaths:
        attempts = decide_restart(attempts, code, commit, now=100.0)
    return attempts


@pytest.mark.parametrize("code", [-9, -15, 143])
def test_a_vertex_that_was_killed_starts_again_at_once(code: int) -> None:
    assert _deaths((code, Commit(epoch=1, number=5))).not_before == 100.0


@pytest.mark.parametrize("code", [-9, 0, 1])
def test_claims_alone_are_no_progress(code: int) -> None:
    lives = [(code, Commit(epoch=life, number=life + 7)) for life in range(1, CRASHES_BEFORE_GIVING_UP + 1)]
    assert _deaths(*lives).is_hopeless
    assert not _deaths(*lives[:-1]).is_hopeless


def test_killed_again_and_again_it_waits_longer_each_time() -> None:
    pauses = [_deaths(*[(-9, None)] * count).not_before for count in range(1, 6)]
    assert pauses == sorted({one for one in pauses if one is not None})


def test_a_commit_that_is_no_claim_gives_it_all_attempts_again() -> None:
    stuck = [(-9, Commit(epoch=life, number=life)) for life in range(1, 6)]
    assert _deaths(*stuck, (-9, Commit(epoch=6, number=7))).crashes == 1


def test_expired_credentials_are_no_crash() -> None:
    former = _deaths(*[(1, None)] * 3)
    lives = [decide_restart(former, 77, None, now=100.0)]
    for _ in range(2 * CRASHES_BEFORE_GIVING_UP):
        lives.append(decide_restart(lives[-1], 77, None, now=100.0))
    assert {(one.crashes, one.not_before, one.is_hopeless) for one in lives} == {(3, 100.0, False)}
    assert "expired" in describe_exit(77)


def test_the_signal_is_named() -> None:
    assert describe_exit(-9) == "killed by SIGKILL; out of memory?"
    assert describe_exit(-11) == "killed by SIGSEGV"
    assert describe_exit(1) == "ended with exit code 1"
    assert "in the middle of its work" in describe_exit(0)
