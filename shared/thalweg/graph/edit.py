"""What every operation is: one edit of a backend, with what it writes and what it relies on."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from thalweg.errors import RejectedError
from thalweg.graph.backend import Backend
from thalweg.graph.fields import Name, Strict, canonical_json
from thalweg.graph.pipeline import Vertex

MAX_SHOWN = 80

Place = tuple[str, ...]
"""A place in a graph: ("vertex", name, field, …), ("edge", text), ("expectation", text) or ("alias", name); longer is deeper."""


@dataclass(frozen=True, slots=True)
class Touches:
    """The places that an operation writes, and those that it needs to stay as they are."""

    writes: frozenset[Place]
    reads: frozenset[Place] = frozenset()

    def heads(self) -> set[Place]:
        """The first two of each place: the kind of part, and its name."""
        return {place[:2] for place in self.writes | self.reads}

    def clash(self, other: Touches) -> Place | None:
        """A place that one of the two writes while the other touches it, something in it or something around it.

        Where there is none, the two operations give the same graph in either order.
        """
        pairs = [(one, two) for one in self.writes for two in other.writes | other.reads]
        pairs += [(one, two) for one in self.reads for two in other.writes]
        return min((min(one, two, key=len) for one, two in pairs if one[: len(two)] == two[: len(one)]), default=None)


class Edit(Strict):
    """Base of operations."""

    @abstractmethod
    def apply(self, backend: Backend) -> Backend:
        """The backend after this operation; the one given stays as it is.

        Raises:
            RejectedError: it does not fit the backend; the code says why.
        """

    @abstractmethod
    def touches(self, backend: Backend) -> Touches:
        """What it touches in a backend that it fits."""

    @abstractmethod
    def describe(self) -> str:
        """One line for people."""


class VertexEdit(Edit):
    """Base of operations that change one field of one vertex."""

    vertex: Name

    @abstractmethod
    def change(self, vertex: Vertex) -> dict[str, Any]:
        """The fields that get other values.

        Raises:
            RejectedError: it does not fit the vertex.
        """

    @abstractmethod
    def place(self) -> Place:
        """What it changes within the vertex."""

    def apply(self, backend: Backend) -> Backend:
        vertex = vertex_of(backend, self.vertex)
        fields = {field: getattr(vertex, field) for field in Vertex.model_fields}
        try:
            changed = Vertex.model_validate(fields | self.change(vertex))
        except ValidationError as error:
            (fault, *_) = error.errors()
            raise refused("invalid", f"vertex {self.vertex}: {fault['msg']}", vertex=self.vertex) from error
        return backend.replace(vertices=backend.vertices | {self.vertex: changed})

    def touches(self, backend: Backend) -> Touches:
        return Touches(frozenset({("vertex", self.vertex, *self.place())}))


def refused(reason: str, message: str, **facts: Any) -> RejectedError:
    """The error of an operation that does not fit: code `operation.<reason>`."""
    return RejectedError(message, code=f"operation.{reason}", **facts)


def vertex_of(backend: Backend, name: str) -> Vertex:
    """The vertex of that name.

    Raises:
        RejectedError: `operation.vertex_unknown`.
    """
    if name not in backend.vertices:
        raise refused("vertex_unknown", f"there is no vertex {name!r}", vertex=name)
    return backend.vertices[name]


def exists(vertex: str) -> Place:
    """The place to rely on for «a vertex of this name is there»."""
    return ("vertex", vertex, "name")


def shown(value: Any) -> str:
    """A JSON value as text, cut when it is long."""
    text = canonical_json(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
