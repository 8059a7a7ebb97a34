"""Late edits on a log: what goes through, what conflicts, and what the conflict says."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from thalweg.errors import RejectedError
from thalweg.graph.backend import Backend
from thalweg.graph.history import Entry, rebase, replay
from thalweg.graph.operations import Operation, RenameVertex, apply

READ: TypeAdapter[Operation] = TypeAdapter(Operation)
START = Backend.model_validate(
    {
        "backend": "b",
        "vertices": {
            "rows": {"component": "csv-source@1.0.0", "files": {"table": "rows.csv"}},
            "wet": {"component": "filter@1.0.0", "params": {"where": "x > 1", "by": {"a": 1, "b": {"c": 1}}}},
            "save": {"component": "parquet-file"},
        },
        "edges": ["rows.out -> wet.in", "wet.out -> save.in"],
        "expect": [{"vertex": "wet", "count": {"min": 1}}],
        "aliases": {"rain": "wet.out"},
    }
)


def op(kind: str, **fields: Any) -> Operation:
    return READ.validate_python({"op": kind, **fields})


def entry(*operations: Operation, sequence: int = 7) -> Entry:
    return Entry(sequence=sequence, time_ns=1_700_000_000_000_000_000, author="ada", reason="dry season", operations=list(operations))


def set_param(path: str, value: Any = 2, vertex: str = "wet") -> Operation:
    return op("set_param", vertex=vertex, path=path, value=value)


EDITS = [
    op("add_vertex", name="new", vertex={"component": "filter"}),
    *(op("remove_vertex", name=name) for name in ("rows", "wet", "save")),
    *(op("rename_vertex", name=name, new_name=new) for name, new in (("rows", "lines"), ("wet", "new"), ("save", "keep"))),
    *(op("connect", edge=edge) for edge in ("rows.out -> save.in", "wet.dead -> save.in")),
    *(op("disconnect", edge=edge) for edge in ("rows.out -> wet.in", "wet.out -> save.in")),
    *(op("add_expectation", expectation={"vertex": name, "count": {"min": 2}}) for name in ("wet", "save")),
    op("remove_expectation", expectation={"vertex": "wet", "count": {"min": 1}}),
    *(op("set_alias", alias=alias, target=target) for alias, target in (("rain", "save.in"), ("dry", "wet.out"), ("rain", "rows.out"))),
    op("remove_alias", alias="rain"),
    *map(set_param, ("where", "by", "by.a", "by.z", "by.y", "by.b.c", "by.b.d", "new", "new.deep")),
    *(op("unset_param", vertex="wet", path=path) for path in ("where", "by", "by.a", "by.b", "by.b.c")),
    *(op("bind_file", vertex="rows", slot=slot, file="sha256:1") for slot in ("table", "index")),
    op("unbind_file", vertex="rows", slot="table"),
    *(op("bind_secret", vertex="rows", slot="token", secret=secret) for secret in ("s", "t")),
    op("set_generated", vertex="save", slot="file", file_name="out.parquet"),
    op("pin_release", vertex="save", component="parquet-file@1.0.0"),
    op("set_partitions", vertex="wet", partitions=1, key="city"),
    op("set_on_error", vertex="wet", on_error="retry"),
]


def conflict(late: Operation, since: Operation) -> RejectedError | None:
    try:
        rebase([late], [entry(since)], START)
    except RejectedError as error:
        return error
    return None


def test_any_two_edits_conflict_both_ways_or_give_the_same_graph_both_ways() -> None:
    passed = 0
    for one in EDITS:
        for other in EDITS:
            first, second = conflict(one, other), conflict(other, one)
            assert (first and first.code) == (second and second.code) and (first is None or first.code == "operation.conflict")
            if first is None:
                passed += 1
                assert apply(START, [one, other]).digest() == apply(START, [other, one]).digest()
    assert passed > len(EDITS) ** 2 / 2


@pytest.mark.parametrize(
    ("late", "since"),
    [
        (set_param("where"), op("rename_vertex", name="wet", new_name="damp")),
        (set_param("where"), op("remove_vertex", name="wet")),
        (op("connect", edge="rows.out -> save.in"), op("remove_vertex", name="save")),
        (op("connect", edge="rows.out -> save.in"), op("rename_vertex", name="rows", new_name="lines")),
        (op("remove_vertex", name="save"), op("connect", edge="rows.out -> save.in")),
        (set_param("by.b"), set_param("by.b.c")),
        (set_param("by.b.c"), set_param("by")),
        (set_param("where", 1), set_param("where", 2)),
        (op("set_alias", alias="rain", target="rows.out"), op("remove_alias", alias="rain")),
        (op("add_vertex", name="lines", vertex={"component": "x"}), op("rename_vertex", name="rows", new_name="lines")),
    ],
)
def test_edits_of_the_same_thing_conflict(late: Operation, since: Operation) -> None:
    told = conflict(late, since)
    assert told is not None and told.code == "operation.conflict"


@pytest.mark.parametrize(
    ("late", "since"),
    [
        (set_param("where"), set_param("by.a")),
        (set_param("by.a"), set_param("by.b.c")),
        (set_param("where"), op("pin_release", vertex="wet", component="filter@1.1.0")),
        (set_param("where"), op("remove_vertex", name="save")),
        (op("connect", edge="rows.out -> save.in"), op("disconnect", edge="wet.out -> save.in")),
        (op("connect", edge="rows.out -> save.in"), op("bind_file", vertex="rows", slot="table", file="other.csv")),
    ],
)
def test_edits_of_other_things_go_through(late: Operation, since: Operation) -> None:
    assert conflict(late, since) is None


def test_a_conflict_names_who_changed_what_when_and_why() -> None:
    told = conflict(set_param("where", "x > 3"), set_param("where", "x > 2"))
    assert told is not None
    assert str(told) == (
        'vertex wet params.where was changed since: set params.where of wet to "x > 2", '
        'revision 7 by ada at 2023-11-14T22:13:20Z (dry season); your edit: set params.where of wet to "x > 3"'
    )
    assert told.facts["place"] == ["vertex", "wet", "params", "where"]
    assert (told.facts["sequence"], told.facts["author"], told.facts["reason"]) == (7, "ada", "dry season")


def test_a_late_edit_may_build_on_itself() -> None:
    late = [op("add_vertex", name="count", vertex={"component": "count"}), op("connect", edge="wet.out -> count.in")]
    assert "count" in rebase(late, [entry(set_param("where"))], START).vertices


def test_a_late_edit_that_does_not_fit_its_own_revision_is_told_so() -> None:
    with pytest.raises(RejectedError) as caught:
        rebase([set_param("where", vertex="dry")], [entry(RenameVertex(name="wet", new_name="dry"))], START)
    assert caught.value.code == "operation.vertex_unknown"


def test_a_log_out_of_order_is_refused() -> None:
    with pytest.raises(RejectedError) as caught:
        replay([entry(set_param("where"), sequence=2), entry(set_param("where"), sequence=2)], START)
    assert caught.value.code == "history.out_of_order"


@pytest.mark.parametrize("bad", [{"author": ""}, {"author": "a\nb"}, {"reason": "x" * 1001}, {"sequence": 0}, {"more": 1}])
def test_an_entry_is_bounded(bad: dict[str, Any]) -> None:
    sound = {"sequence": 1, "time_ns": 0, "author": "ada", "operations": [{"op": "remove_vertex", "name": "wet"}]}
    Entry.model_validate(sound)
    with pytest.raises(ValidationError):
        Entry.model_validate(sound | bad)
