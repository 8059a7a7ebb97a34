"""Builds records of an author's class where msgspec cannot decode into it: pydantic models, and classes that lack a default."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable
from functools import partial
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from thalweg.graph.types import ListOf, MapOf, OptionalOf, Record, StreamType, TupleOf
from thalweg.sdk.values import RecordError

Build = Callable[[Any], Any]


def adopter(annotation: Any, arriving: StreamType) -> Build | None:
    """A function from decoded values to the author's; None where msgspec decodes into the annotation as it stands.

    That is the common case. It is not so for pydantic models and classes with `__post_init__`, which may refuse a record without
    harm to its neighbours; for Structs with another layout than a map of their fields; and for classes with an optional field
    without default that `arriving` does not have.
    """
    if get_origin(annotation) in (typing.Annotated, typing.Required, typing.NotRequired):
        return adopter(get_args(annotation)[0], arriving)
    if isinstance(arriving, OptionalOf):
        return adopter(annotation, arriving.item)
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return partial(_validated, annotation)
    if isinstance(arriving, Record) and inspect.isclass(annotation):
        return _record(annotation, dict(arriving.fields))
    return _container(get_origin(annotation), get_args(annotation), arriving)


def _validated(model: type[BaseModel], value: Any) -> Any:
    try:
        return model.model_validate(value, from_attributes=True)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
        raise RecordError(f"not a {model.__name__}: {faults}") from error


def _container(origin: Any, arguments: tuple[Any, ...], arriving: StreamType) -> Build | None:
    if origin in (typing.Union, types.UnionType):
        kept = [one for one in arguments if one is not type(None)]
        inner = adopter(kept[0], arriving) if len(kept) == 1 else None
        return inner and (lambda value: None if value is None else inner(value))
    match arriving:
        case ListOf(item) if arguments:
            return _each(adopter(arguments[0], item), tuple if origin is tuple else list)
        case MapOf(item) if len(arguments) == 2:
            return _each_value(adopter(arguments[1], item))
        case TupleOf(items) if len(items) == len(arguments):
            builds = [adopter(one, item) for one, item in zip(arguments, items, strict=True)]
            if any(builds):
                return lambda values: tuple(build(one) if build else one for build, one in zip(builds, values, strict=True))
    return None


def _each(build: Build | None, make: type) -> Build | None:
    return build and (lambda values: make(map(build, values)))


def _each_value(build: Build | None) -> Build | None:
    return build and (lambda values: {key: build(value) for key, value in values.items()})


def _record(kind: type, arriving: dict[str, StreamType]) -> Build | None:
    names, needed = _fields(kind)
    if not names:
        return None
    hints = typing.get_type_hints(kind, include_extras=True)
    needed -= {name for name in names if get_origin(hints[name]) is typing.NotRequired}  # TypedDicts miss it in annotations that are text
    builds = {name: build for name in names if name in arriving and (build := adopter(hints[name], arriving[name]))}
    if not builds and needed <= set(arriving) and has_plain_layout(kind) and not hasattr(kind, "__post_init__"):
        return None
    absent = set(names) - needed - set(arriving)  # these the class fills in
    taken = [(name, builds.get(name)) for name in names if name not in absent]
    return lambda value: kind(**{name: build(getattr(value, name)) if build else getattr(value, name) for name, build in taken})


def _fields(kind: type) -> tuple[list[str], set[str]]:
    """Names of a record class's fields, and those without a default."""
    if dataclasses.is_dataclass(kind):
        fields = [one for one in dataclasses.fields(kind) if one.init]
        unset = dataclasses.MISSING
        return [one.name for one in fields], {one.name for one in fields if one.default is unset and one.default_factory is unset}
    if typing.is_typeddict(kind):
        return list(kind.__annotations__), set(kind.__required_keys__)  # type: ignore[attr-defined]
    names = list(getattr(kind, "__struct_fields__", ()))
    defaults = len(getattr(kind, "__struct_defaults__", ()))
    return names, set(names[: len(names) - defaults])


def has_plain_layout(kind: type) -> bool:
    """Whether instances of a record class travel as maps of all their fields by their own names."""
    config = getattr(kind, "__struct_config__", None)
    return config is None or not (
        config.array_like
        or config.tag is not None
        or config.omit_defaults
        or config.forbid_unknown_fields
        or kind.__struct_encode_fields__ != kind.__struct_fields__  # type: ignore[attr-defined]
    )
