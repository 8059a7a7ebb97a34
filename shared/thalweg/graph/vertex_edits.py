"""Operations that change one field of one vertex."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from thalweg.graph.backend import Backend
from thalweg.graph.edit import Place, Touches, VertexEdit, refused, shown
from thalweg.graph.fields import MAX_JSON_DEPTH, ComponentName, Digest, FileName, FileText, Json, Key, Name
from thalweg.graph.pipeline import OnError, Partitions, Vertex


def _split(value: Any) -> Any:
    return tuple(value.split(".")) if isinstance(value, str) else value


ParamPath = Annotated[tuple[Key, ...], BeforeValidator(_split), Field(min_length=1, max_length=MAX_JSON_DEPTH)]
"""Keys from `params` inwards; a dotted text is read as one, and a list of keys serves where a key has a dot in it."""


class _ParamEdit(VertexEdit):
    path: ParamPath

    def place(self) -> Place:
        return ("params", *self.path)

    def missing(self) -> Exception:
        dotted = ".".join(self.path)
        return refused("param_unknown", f"vertex {self.vertex} has no param {dotted}", vertex=self.vertex, path=list(self.path))


class SetParam(_ParamEdit):
    """Sets a param, or a value within one; maps on the way are made where there are none."""

    op: Literal["set_param"] = "set_param"
    value: Json

    def change(self, vertex: Vertex) -> dict[str, Any]:
        return {"params": self._set(vertex.params, self.path)}

    def _set(self, inside: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        key, *rest = path
        if not rest:
            return {**inside, key: self.value}
        inner = inside.get(key, {})
        if not isinstance(inner, dict):
            message = f"vertex {self.vertex}: {key} of {'.'.join(self.path)} is not a map"
            raise refused("param_not_map", message, vertex=self.vertex, path=list(self.path))
        return {**inside, key: self._set(inner, tuple(rest))}

    def touches(self, backend: Backend) -> Touches:
        """A key that comes in new writes the map around it, whose order of keys may be meant."""
        depth, inside = 0, backend.vertices[self.vertex].params
        while depth < len(self.path) and isinstance(inside, dict) and self.path[depth] in inside:
            inside = inside[self.path[depth]]
            depth += 1
        return Touches(frozenset({("vertex", self.vertex, "params", *self.path[: max(depth, 1)])}))

    def describe(self) -> str:
        return f"set params.{'.'.join(self.path)} of {self.vertex} to {shown(self.value)}"


class UnsetParam(_ParamEdit):
    """Takes out a param, or a key within one."""

    op: Literal["unset_param"] = "unset_param"

    def change(self, vertex: Vertex) -> dict[str, Any]:
        return {"params": self._unset(vertex.params, self.path)}

    def _unset(self, inside: Any, path: tuple[str, ...]) -> dict[str, Any]:
        key, *rest = path
        if not isinstance(inside, dict) or key not in inside:
            raise self.missing()
        if rest:
            return {**inside, key: self._unset(inside[key], tuple(rest))}
        return {name: value for name, value in inside.items() if name != key}

    def describe(self) -> str:
        return f"unset params.{'.'.join(self.path)} of {self.vertex}"


class _SlotEdit(VertexEdit):
    field: ClassVar[str]
    slot: Name

    def place(self) -> Place:
        return (self.field, self.slot)

    def bound(self, vertex: Vertex, value: str | None) -> dict[str, Any]:
        """The vertex's field with this slot bound to a value, or with None not bound."""
        bindings: dict[str, str] = getattr(vertex, self.field)
        if value is not None:
            return {self.field: {**bindings, self.slot: value}}
        if self.slot not in bindings:
            message = f"slot {self.slot!r} of vertex {self.vertex} is not bound"
            raise refused("slot_unbound", message, vertex=self.vertex, slot=self.slot)
        return {self.field: {slot: bound for slot, bound in bindings.items() if slot != self.slot}}


class BindFile(_SlotEdit):
    """Binds an input file slot to an artifact or a path; what was bound before is replaced."""

    field = "files"
    op: Literal["bind_file"] = "bind_file"
    file: FileText

    def change(self, vertex: Vertex) -> dict[str, Any]:
        return self.bound(vertex, self.file)

    def describe(self) -> str:
        return f"bind file {self.slot} of {self.vertex} to {self.file}"


class UnbindFile(_SlotEdit):
    """Leaves an input file slot unbound."""

    field = "files"
    op: Literal["unbind_file"] = "unbind_file"

    def change(self, vertex: Vertex) -> dict[str, Any]:
        return self.bound(vertex, None)

    def describe(self) -> str:
        return f"unbind file {self.slot} of {self.vertex}"


class BindSecret(_SlotEdit):
    """Binds a secret slot to a workspace secret by its name; what was bound before is replaced."""

    field = "secrets"
    op: Literal["bind_secret"] = "bind_secret"
    secret: Name

    def change(self, vertex: Vertex) -> dict[str, Any]:
        return self.bound(vertex, self.secret)

    def describe(self) -> str:
        return f"bind secret {self.slot} of {self.vertex} to {self.secret}"


class UnbindSecret(_SlotEdit):
    """Leaves a secret slot unbound."""

    field = "secrets"
    op: Literal["unbind_secret"] = "unbind_secret"

    def change(self, vertex: Vertex) -> dict[str, Any]:
        return self.bound(vertex, None)

    def describe(self) -> str:
        return f"unbind secret {self.slot} of {self.vertex}"


class SetGenerated(_SlotEdit):
    """Names the file that a generated file is saved under; None goes back to the release's own name."""

    field = "generated"
    op: Literal["set_generated"] = "set_generated"
    file_name: FileName | None

    def change(self, vertex: Vertex) -> dict[str, Any]:
        return self.bound(vertex, self.file_name)

    def describe(self) -> str:
        return f"save generated file {self.slot} of {self.vertex} under {self.file_name or 'its default name'}"


class PinRelease(VertexEdit):
    """Sets the component release that a vertex runs; a component without a version takes the pin away."""

    op: Literal["pin_release"] = "pin_release"
    component: ComponentName
    digest: Digest | None = None

    def change(self, vertex: Vertex) -> dict[str, Any]:
        return {"component": self.component, "digest": self.digest}

    def place(self) -> Place:
        return ("component",)

    def describe(self) -> str:
        return f"pin {self.vertex} to {self.component}" + (f" ({self.digest})" if self.digest else "")


class SetPartitions(VertexEdit):
    """Sets into how many partitions a vertex is split, and by which field."""

    op: Literal["set_partitions"] = "set_partitions"
    partitions: Partitions
    key: Key | None = None

    def change(self, vertex: Vertex) -> dict[str, Any]:
        return {"partitions": self.partitions, "key": self.key}

    def place(self) -> Place:
        return ("partitions",)

    def describe(self) -> str:
        return f"set partitions of {self.vertex} to {self.partitions}" + (f" by {self.key}" if self.key else "")


class SetOnError(VertexEdit):
    """Sets what a vertex does with a record that it cannot process."""

    op: Literal["set_on_error"] = "set_on_error"
    on_error: OnError

    def change(self, vertex: Vertex) -> dict[str, Any]:
        return {"on_error": self.on_error}

    def place(self) -> Place:
        return ("on_error",)

    def describe(self) -> str:
        return f"set on_error of {self.vertex} to {self.on_error}"
