"""Says in plain words what is wrong with data from outside, where pydantic says it in its own."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

_MAX_SHOWN = 60
_EXPECTED = {
    "a whole number": ("int_type", "int_parsing", "int_from_float"),
    "a number": ("float_type", "float_parsing", "finite_number"),
    "text": ("string_type",),
    "true or false": ("bool_type", "bool_parsing"),
    "a mapping (name: value)": ("dict_type", "model_type", "model_attributes_type", "mapping_type"),
    "a list": ("list_type", "set_type", "tuple_type"),
}
_EXPECTED_BY_KIND = {kind: expected for expected, kinds in _EXPECTED.items() for kind in kinds}
_SHOWN_COUNT = 12  # names that a hint lists
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


@dataclass(frozen=True, slots=True)
class DataFault:
    """What is wrong, and where: the path of the value, for an unknown key of what holds it.

    `place` is pydantic's own path, `kind` its name for what is wrong.
    """

    path: str
    message: str
    kind: str
    place: tuple[int | str, ...]


def data_faults(error: ValidationError, schema: dict[str, Any], noun: str = "key") -> list[DataFault]:
    """Every fault.

    Args:
        error: what pydantic found.
        schema: JSON Schema of the model; its descriptions and names are what a message offers.
        noun: what a key is called.
    """
    found = []
    for one in error.errors(include_url=False):
        place = tuple(part for part in one["loc"] if part != "[key]")
        named = place[:-1] if one["type"] == "extra_forbidden" else place
        message = _words(one["type"], one.get("input"), one.get("ctx", {}), one["msg"], _Place(schema, place), noun)
        found.append(DataFault(".".join(map(str, named)), message, one["type"], place))
    return found


def did_you_mean(name: str, known: list[str]) -> str | None:
    """The names that are closest to a wrong one, else those there are; None where there are none."""
    close = difflib.get_close_matches(name, known, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    shown = ", ".join(known[:_SHOWN_COUNT]) + (f" and {len(known) - _SHOWN_COUNT} more" if len(known) > _SHOWN_COUNT else "")
    return f"there are {shown}" if known else None


class _Place:
    """What a JSON Schema says about the value at a path."""

    def __init__(self, schema: dict[str, Any], path: tuple[int | str, ...]) -> None:
        self._root, self._path = schema, path

    @property
    def name(self) -> str:
        """The last step."""
        return str(self._path[-1])

    def siblings(self) -> list[str]:
        """Names that the holder of the value knows."""
        return list(dict.fromkeys(name for one in self._at(self._path[:-1]) for name in one.get("properties", {})))

    def description(self) -> str:
        """What the value is."""
        properties = [one.get("properties", {}).get(self._path[-1], {}) for one in self._at(self._path[:-1])] if self._path else []
        return next((one["description"] for one in properties if "description" in one), "")

    def _at(self, path: tuple[int | str, ...]) -> list[dict[str, Any]]:
        found = list(self._open(self._root))
        for step in path:
            # A step that no schema has is the tag by which pydantic tells the options of a union apart.
            found = [inner for one in found for inner in self._step(one, step)] or found
        return found

    def _step(self, schema: dict[str, Any], step: int | str) -> Iterator[dict[str, Any]]:
        any_name = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
        inner = [schema.get("items")] if isinstance(step, int) else [schema.get("properties", {}).get(step), *any_name]
        for one in inner:
            if isinstance(one, dict):
                yield from self._open(one)

    def _open(self, schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if "$ref" in schema:
            yield from self._open(self._root["$defs"][schema["$ref"].rpartition("/")[2]])
        options = [*schema.get("anyOf", []), *schema.get("oneOf", []), *schema.get("allOf", [])]
        for option in options:
            yield from self._open(option)
        if not options and "$ref" not in schema:
            yield schema


def _words(kind: str, given: Any, context: dict[str, Any], message: str, place: _Place, noun: str) -> str:
    if kind == "missing":
        description = place.description()
        return f"is required ({description})" if description else "is required"
    if kind == "extra_forbidden":
        near = did_you_mean(place.name, place.siblings())
        return f"unknown {noun} {place.name!r}" + (f"; {near}" if near else "")
    if kind in _EXPECTED_BY_KIND:
        description = place.description()
        meant = _EXPECTED_BY_KIND[kind] + (f": {description}" if description else "")
        return f"is empty; give {meant}, or leave it out" if given is None else f"must be {meant}, not {_shown(given)}"
    if kind in ("literal_error", "enum"):
        return f"must be {context['expected']}, not {_shown(given)}"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"must be {words} {context[bound]}, not {_shown(given)}"
    if kind == "string_pattern_mismatch":
        description = place.description()
        return f"{_shown(given)} is not valid" + (f": it must be {description}" if description else "")
    plain = message.removeprefix("Value error, ")
    return plain if plain != message else message[:1].lower() + message[1:]


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
