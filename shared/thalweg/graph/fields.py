"""The texts and values that a graph may hold, with their bounds; names are fit to stand in a NATS subject."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import to_jsonable_python

MAX_JSON_BYTES = 256 << 10
MAX_JSON_DEPTH = 32
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
COMPONENT_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}(@[A-Za-z0-9][A-Za-z0-9.+_-]{0,62})?$"
DIGEST_PATTERN = "^sha256:[0-9a-f]{64}$"
LINE_PATTERN = r"^[^\x00-\x1f\x7f\u0085\u2028\u2029]*$"
INTEGERS = range(-(1 << 63), 1 << 64)  # what msgpack holds


class Strict(BaseModel):
    """Base of what enters from outside: unknown fields are refused, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def is_name(text: str) -> bool:
    """Whether a text may name a backend, vertex, port, slot, secret or alias."""
    return re.fullmatch(NAME_PATTERN, text) is not None


def canonical_json(value: Any, *, sort_keys: bool = False) -> str:
    """JSON without spaces, not ASCII-escaped, keys in the order they have unless they are to be sorted.

    Raises:
        ValueError: a number that JSON does not have.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys)


def _check_name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"{text[:80]!r} is not a valid name: use 1 to 63 letters, digits, '-' or '_'")
    return text


def _check_file_name(text: str) -> str:
    if "/" in text or text in ("", ".", ".."):
        raise ValueError(f"{text!r} is not a file name")
    return text


def _read_json(value: Any) -> Any:
    """The value as plain JSON (the dates that YAML knows become text)."""
    _check_size(value, MAX_JSON_DEPTH, MAX_JSON_BYTES)
    plain = to_jsonable_python(value)
    size = len(canonical_json(plain).encode())
    if size > MAX_JSON_BYTES:
        raise ValueError(f"is {size:,} bytes of JSON; {MAX_JSON_BYTES:,} are allowed")
    return plain


def _check_size(value: Any, depth: int, left: int) -> int:
    """Walks a value no further than the bounds allow: YAML aliases make values that are far larger than their text."""
    if depth == 0:
        raise ValueError(f"is nested more than {MAX_JSON_DEPTH} deep")
    if left == 0:
        raise ValueError(f"holds more than {MAX_JSON_BYTES:,} values")
    if isinstance(value, int) and value not in INTEGERS:
        raise ValueError("holds an integer of more than 64 bits")
    left -= 1
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            left = _check_size(inner, depth - 1, left)
    return left


Name = Annotated[str, AfterValidator(_check_name), WithJsonSchema({"type": "string", "pattern": NAME_PATTERN})]
ComponentName = Annotated[str, Field(pattern=COMPONENT_PATTERN)]
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]
Key = Annotated[str, Field(min_length=1, max_length=255, pattern=LINE_PATTERN)]
FileName = Annotated[str, Field(max_length=255, pattern=LINE_PATTERN), AfterValidator(_check_file_name)]
FileText = Annotated[str, Field(min_length=1, max_length=4096, pattern=LINE_PATTERN)]
Line = Annotated[str, Field(max_length=1000, pattern=LINE_PATTERN)]
Json = Annotated[Any, BeforeValidator(_read_json)]
JsonMap = Annotated[dict[Key, Any], BeforeValidator(_read_json)]
