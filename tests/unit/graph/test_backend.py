"""The canonical form of a backend: what its digest counts, and what a pipeline file may hold."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from thalweg.errors import RejectedError
from thalweg.graph.backend import Backend
from thalweg.graph.fields import MAX_JSON_BYTES
from thalweg.graph.pipeline import Edge, Pipeline, Vertex

CONTENT: dict[str, Any] = {
    "backend": "weather",
    "vertices": {
        "rows": {"component": "csv-source@1.0.0", "files": {"table": "rows.csv"}},
        "wet": {"component": "filter", "params": {"where": "x > 1", "more": {"b": 1, "a": 2}}},
    },
    "edges": ["rows.out -> wet.in"],
    "expect": [{"vertex": "wet", "count": {"min": 1}}],
    "aliases": {"rain": "wet.out"},
}


def digest(**changes: Any) -> str:
    return Backend.model_validate(CONTENT | changes).digest()


def wet(**changes: Any) -> dict[str, Any]:
    return {"vertices": CONTENT["vertices"] | {"wet": CONTENT["vertices"]["wet"] | changes}}


def test_the_digest_of_a_graph_stays_over_releases_of_thalweg() -> None:
    assert digest() == "sha256:c7c6d4dfc043d967e05558dea825cc94b3b6dfc41c1e4aa265377a29d6443e83"
    assert Backend(backend="b").digest() == "sha256:ee3ccfb6f6b45f1c6e62d4c691db22f4e262e7a6b7b38d99c59ab0bde6c37a9d"


def test_the_digest_does_not_count_the_name_or_defaults() -> None:
    assert digest(backend="other") == digest()
    assert digest(**wet(on_error="fail", partitions=1, files={})) == digest()


def test_the_digest_counts_the_order_within_a_param_but_not_that_of_params() -> None:
    assert digest(**wet(params={"more": {"b": 1, "a": 2}, "where": "x > 1"})) == digest()
    assert digest(**wet(params={"where": "x > 1", "more": {"a": 2, "b": 1}})) != digest()


@pytest.mark.parametrize("value", [1.0, True, "1", None, [1]])
def test_the_digest_tells_values_apart_that_compare_equal(value: Any) -> None:
    assert digest(**wet(params={"n": value})) != digest(**wet(params={"n": 1}))


def test_a_half_built_graph_is_a_backend_and_reads_back_from_its_file() -> None:
    backend = Backend.read(Pipeline.model_validate(CONTENT))
    assert backend.document() == CONTENT
    assert Backend.read(Pipeline(backend="empty")).document() == {"backend": "empty"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"edges": ["rows.out -> dry.in"]}, "rows.out -> dry.in: there is no vertex 'dry'"),
        ({"edges": ["rows.out -> wet.in"] * 2}, "edges: one is given twice"),
        ({"aliases": {"rain": "dry.out"}}, "alias rain: there is no vertex 'dry'"),
        ({"expect": [{"vertex": "dry", "count": {}}]}, "there is no vertex 'dry'"),
    ],
)
def test_a_file_that_names_what_is_not_there_is_no_backend(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RejectedError) as caught:
        Backend.read(Pipeline.model_validate(CONTENT | changes))
    assert caught.value.code == "backend.invalid"
    assert told in str(caught.value)


def test_dates_of_yaml_become_text() -> None:
    vertex = Vertex.model_validate({"component": "x", "params": {"since": datetime.date(2024, 1, 2)}})
    assert vertex.params == {"since": "2024-01-02"}


def deep(depth: int) -> Any:
    return [deep(depth - 1)] if depth else 1


@pytest.mark.parametrize(
    "bad",
    [
        {"component": "x\n"},
        {"component": "x@1 .0"},
        {"component": "x@"},
        {"digest": "sha256:1"},
        {"params": {"n": float("nan")}},
        {"params": {"n": 1 << 65}},
        {"params": {"n": "\ud800"}},
        {"params": {"n": deep(40)}},
        {"params": {"n": deep(900)}},
        {"params": {"n": "x" * MAX_JSON_BYTES}},
        {"files": {"a.b": "x"}},
        {"files": {"a": "x\ny"}},
        {"files": {"a": ""}},
        {"files": {f"s{number}": "x" for number in range(101)}},
        {"secrets": {"a": "b c"}},
        {"generated": {"a": "../x"}},
        {"generated": {"a": ".."}},
        {"on_error": "ignore"},
    ],
)
def test_what_a_vertex_holds_is_bounded(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Vertex.model_validate({"component": "x"} | bad)


@pytest.mark.parametrize(
    "text", ["", "a.b", "a.b -> c", "a.b.c -> d.e", "a.b -> c.d.e", ".b -> c.d", "a b.c -> d.e", " " * 1_000_000 + "->"]
)
def test_an_edge_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Edge.model_validate(text)
