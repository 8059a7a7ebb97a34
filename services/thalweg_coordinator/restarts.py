"""Decides when a vertex that has ended without being asked starts again, or that it will not."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from thalweg.errors import STOPPED_EXIT_CODE, ShutOutError
from thalweg.wire.commit import Commit

FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 5.0
CRASHES_BEFORE_GIVING_UP = 6


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

    One whose credentials have expired starts again at once, and so does one that was killed, having got further. Any other waits longer
    each time, also when it is killed again and again: that is what a vertex looks like that needs more memory than there is.

    Args:
        former: what the death before led to.
        code: exit code, negative for a signal.
        commit: the vertex's newest.
        now: clock time.
    """
    if code == ShutOutError.exit_code:  # it has worked until then, whether there was anything to do or not
        return Attempts(former.crashes, former.progress, now)
    progress = commit.number - commit.epoch if commit is not None else 0  # each claim raises both by one
    crashes = 1 if progress > former.progress else former.crashes + 1
    is_killed = code < 0 or code == STOPPED_EXIT_CODE
    pause_s = 0.0 if is_killed and crashes == 1 else min(FIRST_PAUSE_S * 2**crashes, LAST_PAUSE_S)
    return Attempts(crashes, progress, now + pause_s)


def describe_exit(code: int) -> str:
    """How a process ended, for people."""
    if code == 0:
        return "ended with exit code 0 in the middle of its work"
    if code == ShutOutError.exit_code:
        return "was shut out by NATS: its credentials have expired, or were revoked"
    if code > 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"killed by {name}" + ("; out of memory?" if code == -signal.SIGKILL else "")
