"""Rehearsals: which vertices run once, twice or not at all, and what is said of the first that differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from thalweg.testing.rehearsal import Outcome, rehearse_graph
from thalweg.testing.short_run import Ran
from thalweg.wire.spec import EdgeSpec, VertexSpec

SOURCE = VertexSpec("a", "rows@1.0.0", "sha256:1", "m", "source", outputs={"out": "int"})
STEP = VertexSpec("b", "step@1.0.0", "sha256:2", "m", "processor", inputs=[EdgeSpec("a", "out", "in", "int")], outputs={"out": "int"})
SAVE = VertexSpec("c", "save@1.0.0", "sha256:3", "m", "sink", inputs=[EdgeSpec("b", "out", "in", "int")], generated={"file": "f"})
NEWER = msgspec.structs.replace(STEP, component="step@1.1.0", digest="sha256:4")


class Runs:
    """What each release gives, and what was run."""

    def __init__(self, **given: Ran) -> None:
        self.given, self.done = given, list[str]()

    def __call__(self, vertex: VertexSpec, before: Mapping[str, Path]) -> tuple[Ran, Path]:
        name = f"{vertex.name}{vertex.digest[-1]}"
        self.done.append(name)
        return self.given.get(name, Ran(dict.fromkeys(vertex.outputs, (5, "same")))), Path(name)

    def outcome(self, *candidate: VertexSpec, pinned: tuple[VertexSpec, ...] = (SOURCE, STEP, SAVE)) -> Outcome:
        return rehearse_graph(list(pinned), list(candidate), self)


def test_what_is_the_same_in_both_is_run_once() -> None:
    runs = Runs()
    assert runs.outcome(SOURCE, NEWER, SAVE) == Outcome("same", (), 2)
    assert runs.done == ["a1", "b2", "b4", "c3"]


def test_the_first_port_that_differs_ends_it() -> None:
    runs = Runs(b4=Ran({"out": (4, "same")}))
    found = runs.outcome(SOURCE, NEWER, SAVE)
    assert found == Outcome("differs", ("b.out: 5 records as it is pinned, 4 with the candidate",))
    assert runs.done == ["a1", "b2", "b4"]
    found = Runs(b4=Ran({"out": (5, "other")})).outcome(SOURCE, NEWER, SAVE)
    assert "b.out: 5 records with digest same" in found.lines[0]


def test_a_candidate_that_fails_is_told_from_a_graph_that_fails_anyway() -> None:
    assert Runs(b4=Ran(failure="no")).outcome(SOURCE, NEWER, SAVE) == Outcome("fails", ("b: no",))
    assert Runs(b2=Ran(failure="no")).outcome(SOURCE, NEWER, SAVE).verdict == "not run"


def test_of_what_is_not_deterministic_counts_alone_are_compared() -> None:
    loose = msgspec.structs.replace(NEWER, deterministic=False)
    runs = Runs(b4=Ran({"out": (5, "other")}))
    found = runs.outcome(SOURCE, loose, SAVE)
    assert found.verdict == "same" and "b: not deterministic" in found.lines[0]
    assert runs.done == ["a1", "b2", "b4", "c3", "c3"]


def test_what_has_effects_elsewhere_or_needs_secrets_is_left_out() -> None:
    webhook = msgspec.structs.replace(SAVE, generated={})
    runs = Runs()
    found = runs.outcome(SOURCE, NEWER, webhook, pinned=(SOURCE, STEP, webhook))
    assert found.verdict == "same" and found.lines == ("c: left out: it writes elsewhere than into files",)
    secret = [msgspec.structs.replace(one, secrets={"token": "name"}) for one in (STEP, NEWER)]
    found = Runs().outcome(SOURCE, secret[1], SAVE, pinned=(SOURCE, secret[0], SAVE))
    assert found == Outcome("not run", ("b: left out: it needs secrets", "c: left out: b before it was"))


def test_a_source_that_was_ended_by_the_clock_is_not_compared() -> None:
    newer = msgspec.structs.replace(SOURCE, digest="sha256:5")
    found = Runs(a5=Ran({"out": (3, "x")}, is_cut=True)).outcome(newer, STEP, SAVE)
    assert found.verdict == "not run" and "gives fewer than 1,000 records" in found.lines[0]
    assert Runs(a1=Ran({"out": (3, "x")}, is_cut=True)).outcome(SOURCE, NEWER, SAVE).verdict == "same"


def test_a_generated_file_is_compared_too() -> None:
    newer = msgspec.structs.replace(SAVE, digest="sha256:6")
    runs = Runs(c3=Ran(generated={"file": "sha256:x"}), c6=Ran(generated={"file": "sha256:y"}))
    assert runs.outcome(SOURCE, STEP, newer) == Outcome("differs", ("c: generated file file differs",))
