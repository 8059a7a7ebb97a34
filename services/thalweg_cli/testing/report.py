"""The events of a test as people read them."""

from __future__ import annotations

from collections.abc import Callable

from thalweg_cli.testing.events import CaseFinished, CaseStarted, Event, ExpectationJudged, Finished, LeaseLeft

_MARKS = {"passed": "✓", "failed": "✗", "error": "✗"}


class Report:
    """Prints a line for each case, and below it what is not as expected.

    Args:
        say: prints a line.
        show_all: also expectations that are met.
    """

    def __init__(self, say: Callable[[str], None], *, show_all: bool = False) -> None:
        self._say, self._show_all = say, show_all
        self._judged: list[ExpectationJudged] = []

    def tell(self, event: Event) -> None:
        """The next event."""
        match event:
            case CaseStarted():
                self._judged = []
            case ExpectationJudged():
                self._judged.append(event)
            case CaseFinished():
                self._case(event)
            case LeaseLeft():
                self._lease(event)
            case Finished():
                self._summary(event)

    def _case(self, event: CaseFinished) -> None:
        self._say(f"{_MARKS[event.outcome]} {event.case}  {event.seconds:.1f} s")
        if event.outcome == "error":
            self._say(f"    the run failed: {event.message} ({event.code})")
            if event.hint:
                self._say(f"      hint: {event.hint}")
        for one in self._judged:
            if not one.met:
                self._unmet(one)
            elif self._show_all or one.reason.startswith("written: "):
                self._say(f"    ✓ {one.label}: {one.reason}")

    def _unmet(self, one: ExpectationJudged) -> None:
        self._say(f"    ✗ {one.label}: {one.reason}")
        if one.record is not None:
            self._say(f"      record {one.record.index:,}: {one.record.value}")

    def _lease(self, event: LeaseLeft) -> None:
        self._say(f"lease {event.lease} is left open for {event.seconds / 60:.0f} minutes, with its deployments and their whole logs")
        if event.data is not None:
            self._say(f"  look around: thalweg up --data {event.data}, and in another terminal, with the variables that it prints:")
        else:
            self._say("  look around:")
        self._say(f"    thalweg lease show {event.lease}")
        self._say(f"    thalweg tap {event.lease}-1 VERTEX.PORT --from 0")
        self._say(f"  then: thalweg lease rollback {event.lease}")

    def _summary(self, event: Finished) -> None:
        told = [
            f"{count} {what}" for count, what in ((event.passed, "passed"), (event.failed, "failed"), (event.errors, "in error")) if count
        ]
        self._say(f"{event.manifest}: {', '.join(told)} in {event.seconds:.1f} s")
