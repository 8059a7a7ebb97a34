"""Decides how much of what nobody needs is left on a deployment log, so that its vertices can go back."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from thalweg.wire.spec import DeploymentSpec

MARKS = 32  # at most so many to a window
ROOM, NARROW = 0.75, 0.875  # of what a subject holds: from there on, half of the window goes, and then all of it


@dataclass(frozen=True, slots=True)
class _Mark:
    time_s: float
    sequence: int
    plan: Mapping[str, int]


class TrimDelay:
    """Holds trimming back: what could have been trimmed a while ago is trimmed now.

    What a trim leaves is all that every vertex needs from then on, its own last commit and state included. So whoever goes back
    to a position within the window finds all that it needs. Forgotten by a coordinator that takes over: that keeps more.
    """

    def __init__(self) -> None:
        self._marks: deque[_Mark] = deque()

    def hold_back(
        self, spec: DeploymentSpec, plan: Mapping[str, int], sequence: int, counts: Mapping[str, int], now_s: float
    ) -> list[tuple[str, int]]:
        """(subject, sequence) pairs, as `plan_trim`.

        Args:
            spec: says how much is kept.
            plan: what could be trimmed now; nothing lies behind it.
            sequence: of the last message of the log.
            counts: messages by subject; where one gets full, it is trimmed whatever is to be kept, so that its writer never waits.
            now_s: clock time.
        """
        self._note(spec, plan, sequence, now_s)
        while len(self._marks) > 1 and self._is_over(spec, self._marks[1], sequence, now_s):
            self._marks.popleft()
        oldest, middle = self._marks[0], self._marks[len(self._marks) // 2]
        held: Mapping[str, int] = oldest.plan if self._is_over(spec, oldest, sequence, now_s) else {}
        found = []
        for subject, below in plan.items():
            share = counts.get(subject, 0) / spec.max_messages_per_subject
            wanted = plan if share >= NARROW else middle.plan if share >= ROOM else held
            if (until := min(below, wanted.get(subject, 0))) > 0:
                found.append((subject, until))
        return found

    def _note(self, spec: DeploymentSpec, plan: Mapping[str, int], sequence: int, now_s: float) -> None:
        last = self._marks[-1] if self._marks else None
        if (
            last is None
            or (spec.keep_s and now_s - last.time_s >= spec.keep_s / MARKS)
            or (spec.keep_messages and sequence - last.sequence >= spec.keep_messages / MARKS)
        ):
            self._marks.append(_Mark(now_s, sequence, dict(plan)))

    @staticmethod
    def _is_over(spec: DeploymentSpec, mark: _Mark, sequence: int, now_s: float) -> bool:
        """Whether everything from a mark on is more than what is kept."""
        by_time = not spec.keep_s or now_s - mark.time_s >= spec.keep_s
        by_count = not spec.keep_messages or sequence - mark.sequence >= spec.keep_messages
        return by_time and by_count
