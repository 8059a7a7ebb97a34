"""Segments of speech out of a score for each window of sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

END_BELOW = 0.15  # under the threshold: between the two, what is going on goes on
_LEAST = 0.01


@dataclass(frozen=True, slots=True)
class Rule:
    """What makes a segment; lengths in samples."""

    rate: int
    window: int
    threshold: float
    min_speech: int
    min_silence: int
    pad: int
    max_speech: int


@dataclass
class Segment:
    """Speech: start and end in seconds from the start of the stream, the mean of the network's score from 0 to 1."""

    index: int
    start: float
    end: float
    score: float


@dataclass
class Talk:
    """Windows so far, and the segment that is open.

    Attributes:
        count: windows heard.
        number: segments told of.
        start: first sample of the open segment; None: there is none.
        quiet: first sample of the pause at its end; None: it is going on.
        is_cut: it begins where another one was cut.
        total: sum of its windows' scores, the pause left out, and how many these are.
        pause: the same of the pause.
    """

    count: int = 0
    number: int = 0
    start: int | None = None
    quiet: int | None = None
    is_cut: bool = False
    total: tuple[float, int] = (0.0, 0)
    pause: tuple[float, int] = (0.0, 0)


def hear(talk: Talk, rule: Rule, score: float) -> Iterator[Segment]:
    """Takes the score of the next window in; gives the segment that it ends."""
    begin = talk.count * rule.window
    talk.count += 1
    if talk.start is None and score >= rule.threshold:
        _open(talk, begin, False)
    if talk.start is None:
        return
    if score >= rule.threshold:  # the pause was part of it
        talk.total, talk.pause, talk.quiet = _plus(_plus(talk.total, talk.pause), (score, 1)), (0.0, 0), None
    elif talk.quiet is None and score >= max(rule.threshold - END_BELOW, _LEAST):
        talk.total = _plus(talk.total, (score, 1))
    else:
        talk.quiet = begin if talk.quiet is None else talk.quiet
        talk.pause = _plus(talk.pause, (score, 1))
    end = begin + rule.window
    if talk.quiet is not None and end - talk.quiet >= rule.min_silence:
        yield from _told(talk, rule, talk.quiet + rule.pad)
    elif talk.quiet is None and end - talk.start >= rule.max_speech:
        yield from _told(talk, rule, end)
        _open(talk, end, True)


def close(talk: Talk, rule: Rule, end: int) -> Iterator[Segment]:
    """The segment that is open at the end of the stream, `end` in samples."""
    if talk.start is not None and talk.total[1]:
        yield from _told(talk, rule, end if talk.quiet is None else min(end, talk.quiet + rule.pad))


def _open(talk: Talk, start: int, is_cut: bool) -> None:
    talk.start, talk.quiet, talk.is_cut, talk.total, talk.pause = start, None, is_cut, (0.0, 0), (0.0, 0)


def _told(talk: Talk, rule: Rule, end: int) -> Iterator[Segment]:
    start, (total, count), is_cut = talk.start or 0, talk.total, talk.is_cut
    spoken = count * rule.window
    talk.start, talk.quiet = None, None
    if count and (is_cut or spoken >= rule.min_speech):
        first = start if is_cut else max(0, start - rule.pad)
        yield Segment(talk.number, round(first / rule.rate, 3), round(end / rule.rate, 3), round(total / count, 4))
        talk.number += 1


def _plus(one: tuple[float, int], other: tuple[float, int]) -> tuple[float, int]:
    return one[0] + other[0], one[1] + other[1]
