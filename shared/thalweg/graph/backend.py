"""A backend: the graph at one revision, well formed but perhaps half built, with its canonical form."""

from __future__ import annotations

import hashlib
from typing import Any, Self

from pydantic import BaseModel, ValidationError, field_validator, model_validator

from thalweg.errors import RejectedError
from thalweg.graph.fields import canonical_json
from thalweg.graph.pipeline import Edge, Endpoint, Pipeline, Vertex, fault_lines


class Backend(Pipeline):
    """A pipeline whose edges, expectations and aliases name vertices that it has, in canonical order.

    It need not be complete: vertices may be unpinned and inputs unconnected, and there may be none at all.
    """

    @field_validator("vertices", "aliases")
    @classmethod
    def _sort_by_name(cls, value: dict[str, Any]) -> dict[str, Any]:
        return dict(sorted(value.items()))

    @field_validator("edges", "expect")
    @classmethod
    def _sort(cls, value: list[Any]) -> list[Any]:
        found = {text_of(one): one for one in value}
        if len(found) < len(value):
            raise ValueError("one is given twice")
        return [found[text] for text in sorted(found)]

    @model_validator(mode="after")
    def _names_only_its_vertices(self) -> Self:
        ends = [(f"edge {edge}", name) for edge in self.edges for name in (edge.src_vertex, edge.dst_vertex)]
        ends += [(f"expectation {text_of(one)}", one.vertex) for one in self.expect]
        ends += [(f"alias {alias}", target.vertex) for alias, target in self.aliases.items()]
        for what, name in ends:
            if name not in self.vertices:
                raise ValueError(f"{what}: there is no vertex {name!r}")
        return self

    @classmethod
    def read(cls, pipeline: Pipeline) -> Backend:
        """The backend that a pipeline file spells; file bindings stay as written.

        Raises:
            RejectedError: `backend.invalid`, when something is given twice or names a vertex that is not there.
        """
        return _checked({field: getattr(pipeline, field) for field in Pipeline.model_fields})

    def replace(self, **changes: Any) -> Backend:
        """A copy with some fields changed.

        Raises:
            RejectedError: `backend.invalid`, when it would be too large or not well formed.
        """
        return _checked({field: getattr(self, field) for field in Pipeline.model_fields} | changes)

    def document(self) -> dict[str, Any]:
        """The content of the pipeline file: defaults left out, edges and endpoints as text; `Pipeline` reads it back."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def digest(self) -> str:
        """`sha256:<hex>` of the canonical form: the document as JSON with keys sorted, without the backend's name.

        The order of vertices, edges, expectations, slots and params does not count. Order within one param's value does,
        because a component may mean it (columns of a table).
        """
        content = self.document()
        del content["backend"]
        content["vertices"] = {name: text_of(vertex) for name, vertex in self.vertices.items()}
        return "sha256:" + hashlib.sha256(canonical_json(content, sort_keys=True).encode()).hexdigest()


def text_of(model: BaseModel) -> str:
    """The canonical text of a part of a backend: an edge or endpoint as written, else sorted JSON without defaults."""
    if isinstance(model, Edge | Endpoint):
        return str(model)
    content = model.model_dump(mode="json", exclude_defaults=True)
    if isinstance(model, Vertex):
        content["params"] = {name: canonical_json(value) for name, value in model.params.items()}
    return canonical_json(content, sort_keys=True)


def _checked(fields: dict[str, Any]) -> Backend:
    try:
        return Backend.model_validate(fields)
    except ValidationError as error:
        raise RejectedError("\n".join(fault_lines(error)), code="backend.invalid") from error
