"""When a vertex that died starts again."""

from __future__ import annotations

import pytest

from thalweg.wire.commit import Commit
from thalweg_coordinator.restarts import (
    CRASHES_BEFORE_GIVING_UP,
    LONG_LIFE_S,
    Attempts,
    Lives,
    Restarts,
    count_deaths,
    decide_restart,
    describe_exit,
    exit_code_of,
)


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


def test_the_signal_is_named() -> None:
    assert describe_exit(-9) == "killed by SIGKILL; out of memory?"
    assert describe_exit(-11) == "killed by SIGSEGV"
    assert describe_exit(1) == "ended with exit code 1"
    assert "in the middle of its work" in describe_exit(0)


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (4, 4), (75, 75), (137, -9), (139, -11), (143, 143), (255, 255)])
def test_exit_codes_say_signals_as_negative_numbers_but_for_a_vertex_that_stopped_on_request(code: int, expected: int) -> None:
    assert exit_code_of(code) == expected


def _claim(epoch: int, done: int = 0, generation: int = 1) -> Commit:
    return Commit(epoch=epoch, number=epoch + done, claim=True, generation=generation)


def _seen(*looks: Commit | Restarts, generation: int = 1, every_s: float = 1.0) -> Lives:
    """What looks at the log lead to, or at the pods of a vertex that has claimed once."""
    lives = None
    for index, look in enumerate(looks):
        known, commit = (look, _claim(1)) if isinstance(look, Restarts) else (None, look)
        lives = count_deaths(lives, known, commit, generation, index * every_s)
    assert lives is not None
    return lives


def test_a_kept_vertex_is_given_up_after_as_many_deaths_as_any_other() -> None:
    claims = [_claim(epoch) for epoch in range(1, CRASHES_BEFORE_GIVING_UP + 2)]
    assert _seen(*claims).is_hopeless
    assert not _seen(*claims[:-1], *[claims[-2]] * 9).is_hopeless
    pods = [Restarts(count, 1) for count in range(CRASHES_BEFORE_GIVING_UP + 1)]
    assert _seen(*pods).is_hopeless and not _seen(*pods[:-1]).is_hopeless


def test_what_it_has_done_gives_a_kept_vertex_all_its_lives_again() -> None:
    claims = [_claim(epoch) for epoch in range(1, CRASHES_BEFORE_GIVING_UP + 1)]
    assert _seen(*claims, Commit(epoch=6, number=7)).crashes == 0
    assert _seen(*claims, _claim(7, done=1)).crashes == 1  # and has died since
    assert _seen(*claims, _claim(7, done=1), _claim(8, done=1)).crashes == 2


def test_a_redeploy_a_rewind_and_another_pod_begin_anew() -> None:
    claims = [_claim(epoch) for epoch in range(1, CRASHES_BEFORE_GIVING_UP + 1)]
    assert _seen(*claims, _claim(7, generation=2)).crashes == 0
    assert count_deaths(_seen(*claims), None, _claim(7), 2, 9.0).crashes == 0
    assert _seen(_claim(1, done=5), _claim(2, done=5), _claim(3, done=0)).crashes == 0
    assert _seen(Restarts(4, 1), Restarts(5, 1), Restarts(0, None)).crashes == 0


def test_a_pod_that_is_not_seen_for_a_moment_has_not_died_as_often_as_it_has_claimed() -> None:
    lives = _seen(Restarts(1, 1), Restarts(2, 1))
    lives = count_deaths(lives, None, _claim(40), 1, 2.0)
    assert count_deaths(lives, Restarts(2, 1), _claim(40), 1, 3.0).crashes == 0


def test_deaths_that_nobody_looked_at_count_as_one_and_so_does_one_after_a_long_life() -> None:
    assert _seen(_claim(1), _claim(30)).crashes == 1
    moved = [_claim(epoch) for epoch in range(1, 30)]
    assert _seen(*moved, every_s=LONG_LIFE_S + 1).crashes == 1
    assert _seen(*moved, every_s=LONG_LIFE_S).is_hopeless
