"""The acceptance rule: an edge is fine when everything its source can emit is something that its target accepts."""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.graph import types as st

Bindings = dict[str, st.StreamType]


@dataclass(frozen=True, slots=True)
class Conflict:
    """The first place where a source type is not accepted; `path` is empty at the top."""

    path: str
    source: st.StreamType | None
    target: st.StreamType
    reason: str


def find_conflict(source: st.StreamType, target: st.StreamType, bindings: Bindings | None = None, path: str = "") -> Conflict | None:
    """None when `target` accepts all that `source` emits, else the first conflict, in the target's field order.

    Variables of the target are bound on first meeting, into `bindings`, and must accept the same type afterwards. Extra fields are
    fine, missing or narrower ones are not; `int` goes into `float`, `T` into `T?`, anything into `json`.
    """
    bindings = {} if bindings is None else bindings
    if isinstance(target, st.Variable):
        bound = bindings.setdefault(target.name, source)
        return None if bound == source else find_conflict(source, bound, bindings, path)
    if target == st.JSON or source == target:
        return None
    if isinstance(source, st.UnionOf):
        return next((found for one in source.options if (found := find_conflict(one, target, bindings, path))), None)
    if isinstance(target, st.OptionalOf):
        inner = source.item if isinstance(source, st.OptionalOf) else source
        return find_conflict(inner, target.item, bindings, path)
    if isinstance(target, st.UnionOf):
        if any(find_conflict(source, one, dict(bindings), path) is None for one in target.options):
            return None
        if not (isinstance(source, st.OptionalOf) and _takes_nothing(target)):
            return _is_not(path, source, target)
        return find_conflict(source.item, target, bindings, path)
    if isinstance(source, st.OptionalOf):
        return Conflict(path, source, target, f"{st.format_type(source)} may be missing, {st.format_type(target)} may not")
    return _structural(source, target, bindings, path)


def _structural(source: st.StreamType, target: st.StreamType, bindings: Bindings, path: str) -> Conflict | None:
    match source, target:
        case st.Scalar("int"), st.Scalar("float"):
            return None
        case st.ListOf(a), st.ListOf(b):
            return find_conflict(a, b, bindings, f"{path}[]")
        case st.MapOf(a), st.MapOf(b):
            return find_conflict(a, b, bindings, f"{path}{{}}")
        case (st.Record(a), st.Record(b)) | (st.TableOf(a), st.TableOf(b)):
            return _fields(dict(a), b, bindings, path)
        case st.TupleOf(a), st.TupleOf(b) if len(a) == len(b):
            pairs = enumerate(zip(a, b, strict=True))
            return next((found for i, (x, y) in pairs if (found := find_conflict(x, y, bindings, f"{path}[{i}]"))), None)
        case (st.ImageType(), st.ImageType()) | (st.AudioType(), st.AudioType()) | (st.TensorType(), st.TensorType()):
            return None if _parameters_fit(source, target) else _is_not(path, source, target)
    return _is_not(path, source, target)


def _fields(
    source: dict[str, st.StreamType], target: tuple[tuple[str, st.StreamType], ...], bindings: Bindings, path: str
) -> Conflict | None:
    for name, wanted in target:
        at = f"{path}.{name}" if path else name
        if name not in source:
            if isinstance(wanted, st.OptionalOf):
                continue
            return Conflict(at, None, wanted, f"field {name} is missing")
        if found := find_conflict(source[name], wanted, bindings, at):
            return found
    return None


def _takes_nothing(target: st.StreamType) -> bool:
    if isinstance(target, st.UnionOf):
        return any(map(_takes_nothing, target.options))
    return isinstance(target, st.OptionalOf) or target == st.JSON


def _parameters_fit(source: st.StreamType, target: st.StreamType) -> bool:
    """Parameters are strict only where both sides state them."""
    if isinstance(source, st.TensorType) and isinstance(target, st.TensorType):
        if source.shape is not None and target.shape is not None:
            if len(source.shape) != len(target.shape):
                return False
            if any(a is not None and b is not None and a != b for a, b in zip(source.shape, target.shape, strict=True)):
                return False
        return source.dtype is None or target.dtype is None or source.dtype == target.dtype
    pairs = [(getattr(source, name), getattr(target, name)) for name in source.__slots__]
    return all(a is None or b is None or a == b for a, b in pairs)


def _is_not(path: str, source: st.StreamType, target: st.StreamType) -> Conflict:
    return Conflict(path, source, target, f"{st.format_type(source)} is not {st.format_type(target)}")


def bind(pairs: list[tuple[st.StreamType, st.StreamType]], bindings: Bindings) -> None:
    """Binds the variables of several edges' targets so that all edges are accepted, whichever comes first; or not at all.

    Of several types for one variable, that is the one which accepts all others (of equals, the first by its text).

    Args:
        pairs: source and target type of each edge into a port.
        bindings: gains what is bound.
    """
    for first in sorted(pairs, key=lambda pair: st.format_type(pair[0])):
        tried = dict(bindings)
        if all(find_conflict(source, target, tried) is None for source, target in (first, *pairs)):
            bindings.update(tried)
            return


def substitute(stream_type: st.StreamType, bindings: Bindings) -> st.StreamType:
    """The type with its variables replaced by what they are bound to; unbound ones stay."""

    def again(inner: st.StreamType) -> st.StreamType:
        return substitute(inner, bindings)

    match stream_type:
        case st.Variable(name):
            return bindings.get(name, stream_type)
        case st.ListOf(item):
            return st.ListOf(again(item))
        case st.MapOf(value):
            return st.MapOf(again(value))
        case st.OptionalOf(item):
            return st.OptionalOf(again(item))
        case st.UnionOf(options):
            return st.UnionOf(tuple(map(again, options)))
        case st.TupleOf(items):
            return st.TupleOf(tuple(map(again, items)))
        case st.Record(fields, name):
            return st.Record(tuple((key, again(kind)) for key, kind in fields), name)
        case st.TableOf(fields):
            return st.TableOf(tuple((key, again(kind)) for key, kind in fields))
    return stream_type


class _Anything(dict[str, st.StreamType]):
    """Bindings in which every variable is bound."""

    def get(self, key: str, default: object = None) -> st.StreamType:
        return st.JSON


def is_generic(stream_type: st.StreamType) -> bool:
    """Whether there is a variable in the type."""
    return substitute(stream_type, _Anything()) != stream_type
