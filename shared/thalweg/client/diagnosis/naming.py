"""Which fields of a record a vertex's params name, and what they are there. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_TEXTS = re.compile(r"""r?"(?:[^"\\]|\\.)*"|r?'(?:[^'\\]|\\.)*'""")
_NAMES = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
MAX_PARAM_BYTES, MAX_PLACES = 10_000, 200


@dataclass(frozen=True, slots=True)
class Named:
    """A field that a param names: its dotted name, its value in a record, the param's place, and its text."""

    field: str
    value: Any
    place: str
    text: str


def fields_named(params: dict[str, Any], record: Any) -> list[Named]:
    """Fields of a record that params name, each once, in the order in which they are named.

    A text is looked through for names as an expression has them, so that a plain field name and a condition are treated alike;
    words in quotation marks are left out.
    """
    found: dict[str, Named] = {}
    for place, text in texts_of(params):
        for name in names_in(text):
            field, value = _lookup(record, name)
            if field is not None and field not in found:
                found[field] = Named(field, value, place, text)
    return list(found.values())


def texts_of(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text in params with its place, names of maps too where a text stands below; bounded."""
    left = MAX_PLACES
    stack: list[tuple[str, Any]] = [(place, value)]
    while stack and left:
        at, one = stack.pop()
        left -= 1
        if isinstance(one, str) and len(one) <= MAX_PARAM_BYTES:
            yield at, one
        elif isinstance(one, dict):
            stack += [(f"{at}.{key}" if at else str(key), inner) for key, inner in reversed(list(one.items())[:MAX_PLACES])]
        elif isinstance(one, list):
            stack += [(f"{at}[{index}]", inner) for index, inner in reversed(list(enumerate(one[:MAX_PLACES])))]


def names_in(text: str) -> list[str]:
    """Dotted names in an expression, as they come."""
    return list(dict.fromkeys(_NAMES.findall(_TEXTS.sub('""', text))))


def _lookup(record: Any, name: str) -> tuple[str | None, Any]:
    """The longest start of a dotted name that is a field, and its value; a value that is no record is called `value`."""
    if not isinstance(record, dict):
        return ("value", record) if name == "value" and record is not None else (None, None)
    taken: list[str] = []
    here: Any = record
    for part in name.split("."):
        if not isinstance(here, dict) or part not in here:
            break
        here = here[part]
        taken.append(part)
    return (".".join(taken), here) if taken else (None, None)
