"""The operations that turn one backend into another: for `apply`, `checkout`, `undo`, `compact`; and how people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from thalweg.graph.backend import Backend, text_of
from thalweg.graph.edit import VertexEdit, shown
from thalweg.graph.fields import MAX_JSON_BYTES, canonical_json
from thalweg.graph.operations import (
    AddExpectation,
    AddVertex,
    BindFile,
    BindSecret,
    Connect,
    Disconnect,
    Operation,
    PinRelease,
    RemoveAlias,
    RemoveExpectation,
    RemoveVertex,
    RenameVertex,
    SetAlias,
    SetGenerated,
    SetOnError,
    SetParam,
    SetPartitions,
    UnbindFile,
    UnbindSecret,
    UnsetParam,
    apply,
)
from thalweg.graph.pipeline import Vertex


def diff(old: Backend, new: Backend) -> list[Operation]:
    """A short list of operations that gives `old` the digest of `new`; each applies after those before it.

    A vertex that went and one that came are a rename, when all that is set on them is equal and no third one is like them.
    """
    steps: list[Operation] = [*_renames(old, new)]
    now = apply(old, steps)
    gone: list[Operation] = [RemoveVertex(name=name) for name in now.vertices if name not in new.vertices]
    now = apply(now, gone)
    steps += gone
    for name, vertex in new.vertices.items():
        if name in now.vertices:
            steps += _vertex_edits(name, now.vertices[name], vertex)
        else:
            steps.append(AddVertex(name=name, vertex=vertex))
    return [*steps, *_wiring(now, new)]


def invert(before: Backend, operations: Sequence[Operation]) -> list[Operation]:
    """Operations that take back others, applied to what those made of `before`.

    Raises:
        RejectedError: the operations do not fit `before`.
    """
    return diff(apply(before, operations), before)


def compact(backend: Backend) -> list[Operation]:
    """The shortest list of operations that makes the backend from an empty one."""
    return diff(Backend(backend=backend.backend), backend)


def render(old: Backend, new: Backend) -> list[str]:
    """The difference for people: lines that begin with `+`, `-` or `~`."""
    lines: list[str] = []
    for operation in diff(old, new):
        after = operation.apply(old)
        lines += _render_step(operation, old, after)
        old = after
    return lines


def _renames(old: Backend, new: Backend) -> Iterator[RenameVertex]:
    gone = {name: text_of(vertex) for name, vertex in old.vertices.items() if name not in new.vertices}
    come = {name: text_of(vertex) for name, vertex in new.vertices.items() if name not in old.vertices}
    alike = Counter(gone.values()), Counter(come.values())
    for name, text in gone.items():
        if alike[0][text] == alike[1][text] == 1:
            yield RenameVertex(name=name, new_name=next(other for other, its in come.items() if its == text))


def _vertex_edits(name: str, old: Vertex, new: Vertex) -> Iterator[Operation]:
    if (old.component, old.digest) != (new.component, new.digest):
        yield PinRelease(vertex=name, component=new.component, digest=new.digest)
    yield from _param_edits(name, old.params, new.params)
    for slot, file in _changed(old.files, new.files):
        yield UnbindFile(vertex=name, slot=slot) if file is None else BindFile(vertex=name, slot=slot, file=file)
    for slot, secret in _changed(old.secrets, new.secrets):
        yield UnbindSecret(vertex=name, slot=slot) if secret is None else BindSecret(vertex=name, slot=slot, secret=secret)
    for slot, file_name in _changed(old.generated, new.generated):
        yield SetGenerated(vertex=name, slot=slot, file_name=file_name)
    if (old.partitions, old.key) != (new.partitions, new.key):
        yield SetPartitions(vertex=name, partitions=new.partitions, key=new.key)
    if old.on_error != new.on_error:
        yield SetOnError(vertex=name, on_error=new.on_error)


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Slots to unbind, with None, before those to bind: so a bound on their number holds at every step."""
    yield from ((slot, None) for slot in old if slot not in new)
    yield from ((slot, value) for slot, value in new.items() if old.get(slot) != value)


def _param_edits(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Operation]:
    roomy = len(canonical_json([old, new]).encode()) <= MAX_JSON_BYTES
    for key in old:
        if key not in new or (not roomy and not _same(old[key], new[key])):
            yield UnsetParam(vertex=name, path=(key,))
    for key, value in new.items():
        if key not in old or (not roomy and not _same(old[key], value)):
            yield SetParam(vertex=name, path=(key,), value=value)
        else:
            yield from _value_edits(name, (key,), old[key], value)


def _value_edits(name: str, path: tuple[str, ...], old: Any, new: Any) -> Iterator[Operation]:
    """Edits within a param's value, where the order of keys counts."""
    if _same(old, new):
        return
    whole = SetParam(vertex=name, path=path, value=new)
    if not (isinstance(old, dict) and isinstance(new, dict)):
        yield whole
        return
    edits: list[Operation] = [UnsetParam(vertex=name, path=(*path, key)) for key in old if key not in new]
    for key, value in new.items():
        if key in old:
            edits += _value_edits(name, (*path, key), old[key], value)
        else:
            edits.append(SetParam(vertex=name, path=(*path, key), value=value))
    kept = [key for key in old if key in new]
    in_order = list(new) == kept + [key for key in new if key not in old]
    yield from edits if in_order and len(edits) == 1 else [whole]  # one edit anyway: the deepest place that holds all that differs


def _same(old: Any, new: Any) -> bool:
    return canonical_json(old) == canonical_json(new)  # plain == takes 1, 1.0 and true for one another


def _wiring(old: Backend, new: Backend) -> Iterator[Operation]:
    before, after = set(old.edges), set(new.edges)
    yield from (Disconnect(edge=edge) for edge in old.edges if edge not in after)
    yield from (Connect(edge=edge) for edge in new.edges if edge not in before)
    yield from (RemoveExpectation(expectation=one) for one in old.expect if one not in new.expect)
    yield from (AddExpectation(expectation=one) for one in new.expect if one not in old.expect)
    yield from (RemoveAlias(alias=alias) for alias in old.aliases if alias not in new.aliases)
    yield from (SetAlias(alias=alias, target=target) for alias, target in new.aliases.items() if old.aliases.get(alias) != target)


def _render_step(operation: Operation, before: Backend, after: Backend) -> list[str]:
    if isinstance(operation, RenameVertex):
        return [f"~ vertex {operation.name}: is now {operation.new_name}"]
    if isinstance(operation, VertexEdit):
        was, now = (_value_at(one.vertices[operation.vertex], operation.place()) for one in (before, after))
        if was == now:  # the digest of a pin, the key of partitions, the cut end of a long value
            return [f"~ {operation.describe()}"]
        return [f"~ vertex {operation.vertex} {'.'.join(operation.place())}: {was} -> {now}"]
    old, new = _items(before), _items(after)
    return [f"- {item}" for item in old if item not in new] + [f"+ {item}" for item in new if item not in old]


def _value_at(vertex: Vertex, place: tuple[str, ...]) -> str:
    value: Any = vertex.model_dump(mode="json")
    for key in place:
        if not isinstance(value, dict) or key not in value:
            return "(none)"
        value = value[key]
    return shown(value)


def _items(backend: Backend) -> list[str]:
    return [
        *(f"vertex {name} {vertex.component}" for name, vertex in backend.vertices.items()),
        *(f"edge {edge}" for edge in backend.edges),
        *(f"expectation {one}" for one in backend.expect),
        *(f"alias {alias} {target}" for alias, target in backend.aliases.items()),
    ]
