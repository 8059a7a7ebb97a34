"""How far a graph is built, and the pins that it lacks, over a few releases made up here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from thalweg.graph.backend import Backend
from thalweg.graph.manifest import Manifest
from thalweg.graph.operations import apply
from thalweg.graph.parse import parse_type
from thalweg.graph.pins import pin_digests, pin_latest
from thalweg.graph.releases import ParamFault, version_order
from thalweg.graph.status import status_of
from thalweg.graph.types import StreamType

DIGEST = "sha256:" + "0" * 64
TABLE = "sha256:" + "1" * 64


class Made:
    yanked: str | None = None

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    def check_params(self, params: dict[str, Any]) -> tuple[dict[str, Any], list[ParamFault]]:
        missing = self.manifest.kind == "processor" and "where" not in params
        return params, [ParamFault("where", "Field required", missing=True)] if missing else []

    def resolve(self, params: dict[str, Any], inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        return {port: parse_type(kind) for port, kind in self.manifest.outputs.items()}


RELEASES: list[dict[str, Any]] = [
    {"name": "rows", "version": "1.9.0", "kind": "source", "outputs": {"out": "int"}},
    {
        "name": "rows",
        "version": "1.10.0",
        "kind": "source",
        "outputs": {"out": "int"},
        "secrets": ["token"],
        "file_schema": {"table": {"type": "csv"}},
    },
    {"name": "keep", "version": "1.0.0", "kind": "processor", "inputs": {"in": "int"}, "outputs": {"out": "int"}},
    {"name": "text", "version": "1.0.0", "kind": "sink", "inputs": {"in": "str"}},
]


class Shelf:
    def __init__(self) -> None:
        self.made = {f"{one['name']}@{one['version']}": Made(Manifest.model_validate(one | {"digest": DIGEST})) for one in RELEASES}

    def names(self) -> list[str]:
        return sorted(self.made)

    def versions(self, name: str) -> list[str]:
        return sorted((full.partition("@")[2] for full in self.made if full.startswith(f"{name}@")), key=version_order)

    def find(self, name: str, version: str) -> Made | None:
        return self.made.get(f"{name}@{version}")


ROWS = {"component": "rows@1.10.0", "digest": DIGEST, "files": {"table": TABLE}, "secrets": {"token": "weather-key"}}
KEEP = {"component": "keep@1.0.0", "params": {"where": "x > 1"}}


def graph(vertices: dict[str, Any], *edges: str, **others: Any) -> Backend:
    return Backend.model_validate({"backend": "b", "vertices": vertices, "edges": edges, **others})


def states(backend: Backend) -> dict[str, tuple[str, list[str]]]:
    status = status_of(backend, Shelf())
    parts = {**status.vertices, **status.edges, "whole": status.whole}
    assert status.is_deployable == all(part.state == "complete" for part in parts.values())
    return {name: (part.state, [one.code for one in part.reasons]) for name, part in parts.items()}


def test_a_complete_graph_is_deployable() -> None:
    found = status_of(graph({"rows": ROWS, "wet": KEEP}, "rows.out -> wet.in", aliases={"all": "rows.out"}), Shelf())
    assert found.is_deployable
    assert [one.name for one in found.plan.vertices] == ["rows", "wet"]


def test_an_empty_graph_is_incomplete() -> None:
    assert states(graph({})) == {"whole": ("incomplete", ["graph.empty"])}


@pytest.mark.parametrize(
    ("vertex", "state", "codes"),
    [
        ({"component": "rows"}, "incomplete", ["component.unpinned"]),
        ({"component": "rows@1.10.0"}, "incomplete", ["slot.unbound", "slot.unbound"]),
        ({**ROWS, "files": {"table": "rows.csv"}}, "incomplete", ["file.missing"]),
        ({"component": "keep@1.0.0"}, "incomplete", ["param.missing", "input.unconnected"]),
        ({"component": "raws@1.0.0"}, "invalid", ["component.unknown"]),
        ({"component": "rows@3.0.0"}, "invalid", ["component.unknown_version"]),
        ({**ROWS, "digest": TABLE}, "invalid", ["component.digest_mismatch"]),
        ({**ROWS, "secrets": {"token": "key", "tokens": "key"}}, "invalid", ["slot.unknown"]),
        ({"component": "rows@1.10.0", "generated": {"x": "y"}}, "invalid", ["slot.unbound", "slot.unknown", "slot.unbound"]),
    ],
)
def test_a_vertex_says_what_it_lacks_and_what_is_wrong(vertex: dict[str, Any], state: str, codes: list[str]) -> None:
    assert states(graph({"one": vertex}))["one"] == (state, codes)


def test_an_edge_is_invalid_by_its_types_and_unchecked_while_they_are_not_known() -> None:
    vertices = {"rows": ROWS, "text": {"component": "text@1.0.0"}, "loose": {"component": "rows"}}
    found = states(graph(vertices, "rows.out -> text.in", "loose.out -> text.in", "rows.no -> text.in"))
    assert found["rows.out -> text.in"] == ("invalid", ["graph.port_type_mismatch"])
    assert found["rows.no -> text.in"] == ("invalid", ["port.unknown"])
    assert found["loose.out -> text.in"] == ("incomplete", ["edge.unchecked"])
    assert found["rows"] == found["text"] == ("complete", [])


def test_a_cycle_is_a_fault_of_the_whole() -> None:
    found = states(graph({"a": KEEP, "b": KEEP}, "a.out -> b.in", "b.out -> a.in"))
    assert found["whole"] == ("invalid", ["graph.cycle"])


def test_what_has_no_version_is_pinned_to_the_latest_and_the_rest_keeps_its_version() -> None:
    backend = graph({"a": {"component": "rows"}, "b": {"component": "rows@1.9.0"}, "c": {"component": "unheard-of"}})
    pinned = apply(backend, pin_latest(backend, Shelf()))
    assert {name: vertex.component for name, vertex in pinned.vertices.items()} == {
        "a": "rows@1.10.0",
        "b": "rows@1.9.0",
        "c": "unheard-of",
    }
    digested = apply(pinned, pin_digests(pinned, Shelf()))
    assert [vertex.digest for vertex in digested.vertices.values()] == [DIGEST, DIGEST, None]
    assert pin_latest(digested, Shelf()) == pin_digests(digested, Shelf()) == []


def test_versions_are_ordered_by_number_and_a_candidate_before_its_release() -> None:
    ordered = ["0.9.0", "1.0.0-rc1", "1.0.0", "1.2.0", "1.10.0"]
    assert sorted(set(ordered), key=version_order) == ordered
