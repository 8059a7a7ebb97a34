"""Generated histories: replay, inverse, difference, compaction and rebase all give the same digest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as some
from pydantic import TypeAdapter, ValidationError

from thalweg.errors import RejectedError
from thalweg.graph.backend import Backend
from thalweg.graph.difference import compact, diff, invert, render
from thalweg.graph.fields import is_name
from thalweg.graph.history import Entry, rebase, replay
from thalweg.graph.operations import Operation, apply
from thalweg.graph.pipeline import Pipeline

EMPTY = Backend(backend="b")
READ: TypeAdapter[Operation] = TypeAdapter(Operation)

names = some.sampled_from("abcd")
ports = some.sampled_from(["in", "out"])
keys = some.sampled_from(["p", "q", "r.s"])
components = some.sampled_from(["x", "x@1.0.0", "y@1.0.0"])
digests = some.none() | some.sampled_from(["sha256:" + "0" * 64, "sha256:" + "1" * 64])
leaves: some.SearchStrategy[Any] = some.sampled_from([None, True, 1, 1.0, "1", "é", -0.0, [], [1], {}])
values = some.recursive(leaves, lambda inner: some.dictionaries(keys, inner, max_size=2) | some.lists(inner, max_size=2), max_leaves=4)
files = some.sampled_from(["one.csv", "two.csv"])
errors = some.sampled_from(["fail", "dead-letter", "retry"])
paths = some.lists(keys, min_size=1, max_size=3)
edges = some.builds("{}.{} -> {}.{}".format, names, ports, names, ports)
expectations = some.fixed_dictionaries({"vertex": names, "count": some.fixed_dictionaries({"min": some.integers(0, 2)})})
endpoints = some.builds("{}.{}".format, names, ports)
vertices = some.fixed_dictionaries(
    {"component": components},
    optional={"digest": digests, "params": some.dictionaries(keys, values, max_size=3), "files": some.dictionaries(ports, files)},
)


def on_vertex(op: str, **fields: Any) -> some.SearchStrategy[dict[str, Any]]:
    return some.fixed_dictionaries({"op": some.just(op), "vertex": names, **fields})


def on_graph(op: str, **fields: Any) -> some.SearchStrategy[dict[str, Any]]:
    return some.fixed_dictionaries({"op": some.just(op), **fields})


operations = some.one_of(
    on_graph("add_vertex", name=names, vertex=vertices),
    on_graph("add_vertex", name=names, vertex=vertices),
    on_graph("remove_vertex", name=names),
    on_graph("rename_vertex", name=names, new_name=some.sampled_from("abcdefg")),
    on_graph("connect", edge=edges),
    on_graph("disconnect", edge=edges),
    on_graph("add_expectation", expectation=expectations),
    on_graph("remove_expectation", expectation=expectations),
    on_graph("set_alias", alias=ports, target=endpoints),
    on_graph("remove_alias", alias=ports),
    on_vertex("set_param", path=paths, value=values),
    on_vertex("set_param", path=paths, value=values),
    on_vertex("unset_param", path=paths),
    on_vertex("bind_file", slot=ports, file=files),
    on_vertex("unbind_file", slot=ports),
    on_vertex("bind_secret", slot=ports, secret=names),
    on_vertex("unbind_secret", slot=ports),
    on_vertex("set_generated", slot=ports, file_name=some.none() | files),
    on_vertex("pin_release", component=components, digest=digests),
    on_vertex("set_partitions", partitions=some.just(1), key=some.none() | keys),
    on_vertex("set_on_error", on_error=errors),
).map(READ.validate_python)


@some.composite
def backends(draw: some.DrawFn) -> Backend:
    known = draw(some.dictionaries(names, vertices, min_size=1))
    among = [f"{one}.{port} -> {other}.in" for one in known for other in known for port in ("in", "out")]
    expected = [{"vertex": name, "count": {"min": 1}} for name in known]
    return Backend.model_validate(
        {
            "backend": "b",
            "vertices": known,
            "edges": draw(some.lists(some.sampled_from(among), unique=True, max_size=4)),
            "expect": draw(some.lists(some.sampled_from(expected), unique_by=str, max_size=2)),
            "aliases": draw(some.dictionaries(ports, some.sampled_from(sorted(known)).map("{}.out".format))),
        }
    )


def entry(sequence: int, steps: list[Operation]) -> Entry:
    return Entry(sequence=sequence, time_ns=sequence, author="ada", reason="why not", operations=steps)


def fits(backend: Backend, operation: Operation) -> bool:
    before = backend.digest()
    try:
        apply(backend, [operation])
    except RejectedError as error:
        if not error.code.startswith("operation."):
            raise
        return False
    finally:
        assert backend.digest() == before
    return True


@some.composite
def edits(draw: some.DrawFn, start: Backend, max_size: int) -> list[Operation]:
    """Operations that fit one after the other; those that do not are seen to be refused without effect, and left out."""
    found: list[Operation] = []
    for operation in draw(some.lists(operations, min_size=max_size // 2, max_size=max_size)):
        if fits(start, operation):
            start = apply(start, [operation])
            found.append(operation)
    return found


@some.composite
def histories(draw: some.DrawFn) -> list[Entry]:
    start = draw(backends())
    steps = draw(edits(start, 12))
    width = draw(some.integers(1, 4))
    cut = [compact(start), *(steps[at : at + width] for at in range(0, len(steps), width))]
    return [entry(number, some_steps) for number, some_steps in enumerate(cut, 1)]


@settings(max_examples=40, deadline=None)
@given(histories())
def test_replaying_a_stored_log_from_empty_gives_the_same_digest(log: list[Entry]) -> None:
    head = EMPTY
    for one in log:
        head = apply(head, one.operations)
    stored = [Entry.model_validate_json(one.model_dump_json()) for one in log]
    assert stored == log
    assert replay(stored, EMPTY).digest() == head.digest()
    assert all(operation.describe().isprintable() for one in stored for operation in one.operations)


@settings(max_examples=40, deadline=None)
@given(histories())
def test_the_inverse_of_each_entry_restores_the_digest_before_it(log: list[Entry]) -> None:
    before = EMPTY
    for one in log:
        after = apply(before, one.operations)
        assert apply(after, invert(before, one.operations)).digest() == before.digest()
        before = after


@settings(max_examples=40, deadline=None)
@given(backends(), backends())
def test_the_difference_of_two_backends_turns_one_into_the_other(old: Backend, new: Backend) -> None:
    steps = diff(old, new)
    assert apply(old, steps).digest() == new.digest()
    assert (not steps) == (old.digest() == new.digest())
    assert bool(render(old, new)) == bool(steps)


@settings(max_examples=40, deadline=None)
@given(histories())
def test_a_compacted_log_gives_the_same_digest_and_is_no_longer(log: list[Entry]) -> None:
    head = replay(log, EMPTY)
    short = compact(head)
    assert apply(EMPTY, short).digest() == head.digest()
    assert len(short) <= sum(len(one.operations) for one in log)


@settings(max_examples=40, deadline=None)
@given(backends(), some.randoms(use_true_random=False))
def test_a_pipeline_file_gives_the_digest_back_in_whatever_order_it_is_written(backend: Backend, random: Any) -> None:
    document = backend.document()
    for field in ("edges", "expect"):
        random.shuffle(document.get(field, []))
    for field in ("vertices", "aliases"):
        shuffled = list(document.get(field, {}).items())
        random.shuffle(shuffled)
        document[field] = dict(shuffled)
    assert Backend.read(Pipeline.model_validate(document)).digest() == backend.digest()


@settings(max_examples=120, deadline=None)
@given(backends(), some.data())
def test_two_edits_that_pass_one_another_give_the_same_graph_in_either_order(start: Backend, data: some.DataObject) -> None:
    one, other = (data.draw(edits(start, 4)) for _ in range(2))
    assume(one and other)
    if passes(other, one, start):
        assert passes(one, other, start)
        assert rebase(other, [entry(1, one)], start).digest() == rebase(one, [entry(1, other)], start).digest()


def passes(late: list[Operation], since: list[Operation], start: Backend) -> bool:
    try:
        rebase(late, [entry(1, since)], start)
    except RejectedError as error:
        if error.code != "operation.conflict" or not {"author", "time_ns", "reason", "theirs", "mine"} <= set(error.facts):
            raise
        return False
    return True


@settings(max_examples=40, deadline=None)
@given(some.text(max_size=6) | some.builds("a{}b".format, some.sampled_from([".", " ", "*", ">", "\n", "\0", "/", "é"])) | some.just("a\n"))
def test_names_that_cannot_stand_in_a_subject_are_refused(text: str) -> None:
    assume(not is_name(text))
    for fields in (
        {"op": "add_vertex", "name": text, "vertex": {"component": "x"}},
        {"op": "rename_vertex", "name": "a", "new_name": text},
        {"op": "connect", "edge": {"src_vertex": text, "src_port": "out", "dst_vertex": "b", "dst_port": "in"}},
        {"op": "set_alias", "alias": text, "target": "a.out"},
        {"op": "bind_secret", "vertex": "a", "slot": "s", "secret": text},
    ):
        with pytest.raises(ValidationError):
            READ.validate_python(fields)
