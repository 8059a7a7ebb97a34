"""Operations that change the shape of a graph: its vertices, edges, expectations and aliases."""

from __future__ import annotations

from typing import Any, Literal

from thalweg.graph.backend import Backend, text_of
from thalweg.graph.edit import Edit, Touches, exists, refused, vertex_of
from thalweg.graph.fields import Name
from thalweg.graph.pipeline import Edge, Endpoint, Expectation, Vertex


class AddVertex(Edit):
    """Adds a vertex with everything that is set on it."""

    op: Literal["add_vertex"] = "add_vertex"
    name: Name
    vertex: Vertex

    def apply(self, backend: Backend) -> Backend:
        if self.name in backend.vertices:
            raise refused("vertex_exists", f"there is a vertex {self.name!r} already", vertex=self.name)
        return backend.replace(vertices=backend.vertices | {self.name: self.vertex})

    def touches(self, backend: Backend) -> Touches:
        return Touches(frozenset({("vertex", self.name)}))

    def describe(self) -> str:
        return f"add vertex {self.name}, {self.vertex.component}"


class RemoveVertex(Edit):
    """Removes a vertex, and the edges, expectations and aliases that name it."""

    op: Literal["remove_vertex"] = "remove_vertex"
    name: Name

    def apply(self, backend: Backend) -> Backend:
        vertex_of(backend, self.name)
        return backend.replace(
            vertices={name: vertex for name, vertex in backend.vertices.items() if name != self.name},
            edges=[edge for edge in backend.edges if self.name not in (edge.src_vertex, edge.dst_vertex)],
            expect=[one for one in backend.expect if one.vertex != self.name],
            aliases={alias: target for alias, target in backend.aliases.items() if target.vertex != self.name},
        )

    def touches(self, backend: Backend) -> Touches:
        aliases = {("alias", alias) for alias, target in backend.aliases.items() if target.vertex == self.name}
        return Touches(frozenset({("vertex", self.name)} | aliases))

    def describe(self) -> str:
        return f"remove vertex {self.name}"


class RenameVertex(Edit):
    """Renames a vertex; the edges, expectations and aliases that name it follow."""

    op: Literal["rename_vertex"] = "rename_vertex"
    name: Name
    new_name: Name

    def apply(self, backend: Backend) -> Backend:
        vertex_of(backend, self.name)
        if self.new_name in backend.vertices:
            raise refused("vertex_exists", f"there is a vertex {self.new_name!r} already", vertex=self.new_name)
        return backend.replace(
            vertices={self._now(name): vertex for name, vertex in backend.vertices.items()},
            edges=[self._renamed(edge, "src_vertex", "dst_vertex") for edge in backend.edges],
            expect=[self._renamed(one, "vertex") for one in backend.expect],
            aliases={alias: self._renamed(target, "vertex") for alias, target in backend.aliases.items()},
        )

    def _now(self, name: str) -> str:
        return self.new_name if name == self.name else name

    def _renamed(self, part: Any, *fields: str) -> Any:
        return part.model_copy(update={field: self._now(getattr(part, field)) for field in fields})

    def touches(self, backend: Backend) -> Touches:
        return Touches(frozenset({("vertex", self.name), ("vertex", self.new_name)}))

    def describe(self) -> str:
        return f"rename vertex {self.name} to {self.new_name}"


class _EdgeEdit(Edit):
    edge: Edge

    def touches(self, backend: Backend) -> Touches:
        return Touches(frozenset({("edge", str(self.edge))}), frozenset({exists(self.edge.src_vertex), exists(self.edge.dst_vertex)}))


class Connect(_EdgeEdit):
    """Adds an edge between vertices that are there; whether the ports are there is the releases' to say."""

    op: Literal["connect"] = "connect"

    def apply(self, backend: Backend) -> Backend:
        vertex_of(backend, self.edge.src_vertex)
        vertex_of(backend, self.edge.dst_vertex)
        if self.edge in backend.edges:
            raise refused("edge_exists", f"there is an edge {self.edge} already", edge=str(self.edge))
        return backend.replace(edges=[*backend.edges, self.edge])

    def describe(self) -> str:
        return f"connect {self.edge}"


class Disconnect(_EdgeEdit):
    """Removes an edge."""

    op: Literal["disconnect"] = "disconnect"

    def apply(self, backend: Backend) -> Backend:
        if self.edge not in backend.edges:
            raise refused("edge_unknown", f"there is no edge {self.edge}", edge=str(self.edge))
        return backend.replace(edges=[edge for edge in backend.edges if edge != self.edge])

    def describe(self) -> str:
        return f"disconnect {self.edge}"


class _ExpectationEdit(Edit):
    expectation: Expectation

    def touches(self, backend: Backend) -> Touches:
        return Touches(frozenset({("expectation", text_of(self.expectation))}), frozenset({exists(self.expectation.vertex)}))


class AddExpectation(_ExpectationEdit):
    """Adds an expectation of what a run puts out."""

    op: Literal["add_expectation"] = "add_expectation"

    def apply(self, backend: Backend) -> Backend:
        vertex_of(backend, self.expectation.vertex)
        if self.expectation in backend.expect:
            raise refused("expectation_exists", f"it is expected already: {self.expectation}", vertex=self.expectation.vertex)
        return backend.replace(expect=[*backend.expect, self.expectation])

    def describe(self) -> str:
        return f"expect {self.expectation}"


class RemoveExpectation(_ExpectationEdit):
    """Removes an expectation, named by its whole content."""

    op: Literal["remove_expectation"] = "remove_expectation"

    def apply(self, backend: Backend) -> Backend:
        if self.expectation not in backend.expect:
            raise refused("expectation_unknown", f"it is not expected: {self.expectation}", vertex=self.expectation.vertex)
        return backend.replace(expect=[one for one in backend.expect if one != self.expectation])

    def describe(self) -> str:
        return f"expect no longer {self.expectation}"


class SetAlias(Edit):
    """Gives an endpoint a name for applications; an alias that is there already moves."""

    op: Literal["set_alias"] = "set_alias"
    alias: Name
    target: Endpoint

    def apply(self, backend: Backend) -> Backend:
        vertex_of(backend, self.target.vertex)
        return backend.replace(aliases=backend.aliases | {self.alias: self.target})

    def touches(self, backend: Backend) -> Touches:
        return Touches(frozenset({("alias", self.alias)}), frozenset({exists(self.target.vertex)}))

    def describe(self) -> str:
        return f"set alias {self.alias} to {self.target}"


class RemoveAlias(Edit):
    """Removes an alias."""

    op: Literal["remove_alias"] = "remove_alias"
    alias: Name

    def apply(self, backend: Backend) -> Backend:
        if self.alias not in backend.aliases:
            raise refused("alias_unknown", f"there is no alias {self.alias!r}", alias=self.alias)
        return backend.replace(aliases={alias: target for alias, target in backend.aliases.items() if alias != self.alias})

    def touches(self, backend: Backend) -> Touches:
        return Touches(frozenset({("alias", self.alias)}))

    def describe(self) -> str:
        return f"remove alias {self.alias}"
