"""What on a log has a window of it saved."""

from __future__ import annotations

from thalweg.wire import subjects
from thalweg.wire.commit import HEADER, Commit, Counters, Failure, PortDigest, encode_commit
from thalweg.wire.spec import DeploymentSpec, ExpectSpec, VertexSpec
from thalweg_coordinator.capture.triggers import Triggers

VERTICES = [VertexSpec("rows", "c@1", "", "", "source", outputs={"out": "int"})]


def _look(triggers: Triggers, port: str, commit: Commit) -> str | None:
    return triggers.look(subjects.port("w", "d", "rows", port), {HEADER: encode_commit(commit)})


def _triggers(*on: str, expect: list[ExpectSpec] | None = None, told: tuple[str, ...] = ()) -> Triggers:
    spec = DeploymentSpec("w", "d", "graph", VERTICES, capture="all", capture_last_s=1.0, capture_on=list(on), expect=expect or [])
    return Triggers(spec, {}, told)


def test_a_failure_is_told_once_and_again_when_the_vertex_fails_anew() -> None:
    triggers = _triggers("error")
    failed = Commit(1, 1, failure=Failure("rows: no such file", "file.missing"))
    assert _look(triggers, "_commit", failed) == "error: rows has failed: rows: no such file"
    assert _look(triggers, "_commit", failed) is None
    assert _look(triggers, "_commit", Commit(2, 2, failure=failed.failure)) is not None


def test_errors_are_told_when_there_are_more_of_them() -> None:
    triggers = _triggers("error")
    found = [_look(triggers, "out", Commit(1, number, counters=Counters(errors=errors))) for number, errors in enumerate((0, 2, 2, 3))]
    assert found == [None, "error: rows has met 2 errors", None, "error: rows has met 3 errors"]


def test_an_expectation_is_broken_by_too_many_at_any_time_and_by_too_few_at_the_end() -> None:
    triggers = _triggers("expectation", expect=[ExpectSpec("rows", "out", max=10), ExpectSpec("rows", "out", min=5)])
    assert _look(triggers, "out", Commit(1, 1, ports={"out": PortDigest(4, "")})) is None
    ended = Commit(1, 2, ports={"out": PortDigest(4, "")}, ended=True)
    assert _look(triggers, "_commit", ended) == "expectation: rows.out has put out 4 records at its end, fewer than 5"
    many = Commit(1, 3, ports={"out": PortDigest(11, "")})
    assert _look(triggers, "out", many) == "expectation: rows.out has put out 11 records, more than 10"
    assert _look(triggers, "out", many) is None
    again = _triggers("expectation", expect=[ExpectSpec("rows", "out", max=10)], told=tuple(triggers.told))
    assert _look(again, "out", many) is None


def test_a_dead_letter_is_told_and_what_is_not_asked_for_is_not() -> None:
    dead = Commit(1, 1, counters=Counters(dead=1, errors=1))
    assert _look(_triggers("dead-letter"), "_dead", dead) == "dead-letter: rows has put 1 record aside"
    assert _look(_triggers("dead-letter"), "out", dead) is None
    assert _look(_triggers("expectation"), "_dead", dead) is None
    assert _look(_triggers(), "_dead", dead) is None
