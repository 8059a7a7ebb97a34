"""Decides when a vertex that has died starts again, or that it is given up."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from thalweg.errors import STOPPED_EXIT_CODE
from thalweg.wire.commit import Commit

FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 5.0
CRASHES_BEFORE_GIVING_UP = 6
# Kubernetes waits up to 5 minutes between two tries. A vertex that has lived for longer than this was moved: that is no crash loop.
LONG_LIFE_S = 900.0
_SIGNALLED = 128


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often a vertex has died without getting further.

    Attributes:
        crashes: deaths since it last got further.
        progress: commits but for claims, when it last died.
        not_before: clock time of its next start; None while it runs.
    """

    crashes: int = 0
    progress: int = -1
    not_before: float | None = None

    @property
    def is_hopeless(self) -> bool:
        """Whether it is not to be started again."""
        return self.crashes >= CRASHES_BEFORE_GIVING_UP


def decide_restart(former: Attempts, code: int, commit: Commit | None, now: float) -> Attempts:
    """What follows from a death.

    One that was killed, having got further, starts again at once. Any other waits longer each time, also when it is killed again
    and again: that is what a vertex looks like that needs more memory than there is.

    Args:
        former: what the death before led to.
        code: exit code, negative for a signal.
        commit: the vertex's newest.
        now: clock time.
    """
    progress = _progress(commit)
    crashes = 1 if progress > former.progress else former.crashes + 1
    is_killed = code < 0 or code == STOPPED_EXIT_CODE
    pause_s = 0.0 if is_killed and crashes == 1 else min(FIRST_PAUSE_S * 2**crashes, LAST_PAUSE_S)
    return Attempts(crashes, progress, now + pause_s)


@dataclass(frozen=True, slots=True)
class Restarts:
    """What is known of the restarts of a vertex by whoever keeps it: how often, and the exit code of its last end, if there was one."""

    count: int
    code: int | None


@dataclass(frozen=True, slots=True)
class Lives:
    """What is seen of a vertex that something else starts again.

    Attributes:
        started: how often it was started, by whoever keeps it or by its claims; what matters is whether it grows.
        counted: of what: whether by claims, the vertex's generation as asked for, and as it works.
        progress: commits but for claims.
        crashes: deaths since it last got further.
        since_s: clock time when its newest life was first seen.
    """

    started: int
    counted: tuple[bool, int, int]
    progress: int
    crashes: int
    since_s: float

    @property
    def is_hopeless(self) -> bool:
        """Whether it is to be given up."""
        return self.crashes >= CRASHES_BEFORE_GIVING_UP


def count_deaths(former: Lives | None, known: Restarts | None, commit: Commit | None, generation: int, now: float) -> Lives:
    """What follows from another look at such a vertex.

    Deaths between two looks count as one: looks are closer to each other than lives, but where servers were away, which is no fault
    of the vertex.

    Args:
        former: what the look before led to.
        known: its restarts, where whoever keeps it tells; else its claims are counted, and one that dies before it claims is not seen.
        commit: the vertex's newest.
        generation: of the vertex in the spec.
        now: clock time.
    """
    epoch, working = (commit.epoch, commit.generation) if commit is not None else (0, 0)
    started, counted, progress = epoch if known is None else known.count, (known is None, generation, working), _progress(commit)
    if former is None or counted != former.counted or started < former.started or progress < former.progress:
        return Lives(started, counted, progress, 0, now)  # another generation, or another pod, or it went back
    has_died = started > former.started
    if progress > former.progress:
        # Where a claim is newest, it has died behind what it has done.
        crashes = int(has_died and commit is not None and commit.claim)
    elif has_died and now - former.since_s > LONG_LIFE_S:
        crashes = 1
    else:
        crashes = former.crashes + has_died
    return Lives(started, counted, progress, crashes, now if has_died else former.since_s)


def _progress(commit: Commit | None) -> int:
    return commit.number - commit.epoch if commit is not None else 0  # each claim raises both by one


def exit_code_of(code: int) -> int:
    """An exit code as the shell says it, with signals as negative numbers; a vertex that stopped on request says 143 by itself."""
    return _SIGNALLED - code if _SIGNALLED < code <= _SIGNALLED + 64 and code != STOPPED_EXIT_CODE else code


def describe_exit(code: int) -> str:
    """How a process ended, for people."""
    if code == 0:
        return "ended with exit code 0 in the middle of its work"
    if code > 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"killed by {name}" + ("; out of memory?" if code == -signal.SIGKILL else "")
