"""Text with CEL expressions in braces, checked against the type of a record."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from thalweg.errors import RejectedError
from thalweg.graph.types import FLOAT, INT, JSON, OptionalOf, StreamType, format_type
from thalweg_components.expressions import CompiledExpression, compile_expression

MAX_TEXT, MAX_EXPRESSIONS = 65_536, 256
_FORMAT = re.compile(r":(,?\.\d{1,2}[efg%]|,)$")
_PIECE = re.compile(r"\{\{|\}\}|\{|\}")


class TextTemplate:
    """A text whose braces hold expressions.

    Args:
        text: `{{` and `}}` are braces themselves; an expression may end in a number's format, `:.1f`.
        source: type of the records.
        null: what stands for null.
        quote: of what an expression gives, where the text has a syntax of its own.

    Raises:
        RejectedError: `params.invalid` for the braces and formats, `expression.invalid` for what is in them.
    """

    def __init__(self, text: str, source: StreamType, null: str, quote: Callable[[str], str] = str) -> None:
        self._null, self._quote = null, quote
        self._pieces: list[str | tuple[CompiledExpression, str]] = []
        for piece, is_expression in _pieces(text):
            self._pieces.append(_compile(piece, source) if is_expression else piece)
        if sum(isinstance(piece, tuple) for piece in self._pieces) > MAX_EXPRESSIONS:
            raise RejectedError(f"text: more than {MAX_EXPRESSIONS} expressions", code="params.invalid")

    def write(self, record: Any) -> str:
        """The text for one record. Raises RecordError where an expression has no value for it."""
        return "".join(piece if isinstance(piece, str) else self._written(*piece, record) for piece in self._pieces)

    def _written(self, expression: CompiledExpression, form: str, record: Any) -> str:
        value = expression.evaluate(record)
        if value is None:
            return self._null
        if form and isinstance(value, int | float) and not isinstance(value, bool):
            return self._quote(format(value, form))
        return self._quote(as_text(value))


def as_text(value: Any) -> str:
    """A value as people read it: text as it is, timestamps and durations ISO 8601, bytes base64, all else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value - value != 0:
        return str(value)  # nan and the infinities, which JSON does not have
    text = msgspec.json.encode(value, order="deterministic").decode()
    return text.strip('"') if isinstance(value, bytes | dt.datetime | dt.timedelta) else text


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The text cut up, each piece with whether it is an expression."""
    at, plain = 0, ""
    while match := _PIECE.search(text, at):
        plain += text[at : match.start()]
        at = match.end()
        if match[0] in ("{{", "}}"):
            plain += match[0][0]
            continue
        end = _closing(text, at) if match[0] == "{" else None
        if end is None:
            raise RejectedError(
                f"text: the {match[0]!r} at character {match.start() + 1} has no partner",
                code="params.invalid",
                hint="write {{ or }} for a brace",
            )
        yield plain, False
        yield text[at:end], True
        at, plain = end + 1, ""
    yield plain + text[at:], False


def _closing(text: str, at: int) -> int | None:
    """Where the expression that begins at `at` ends: at the first brace that closes none of its own and is in no text of it."""
    depth, quote = 0, ""
    while at < len(text):
        one = text[at]
        if quote:
            at += one == "\\"
            quote = "" if one == quote else quote
        elif one in "\"'":
            quote = one
        elif one == "}" and depth == 0:
            return at
        else:
            depth += (one == "{") - (one == "}")
        at += 1
    return None


def _compile(piece: str, source: StreamType) -> tuple[CompiledExpression, str]:
    form = _FORMAT.search(piece)
    compiled = compile_expression(piece[: form.start()] if form else piece, source, what="text")
    kind = compiled.type.item if isinstance(compiled.type, OptionalOf) else compiled.type
    if form and kind not in (INT, FLOAT, JSON):
        raise RejectedError(f"text: {piece!r} formats {format_type(compiled.type)} as a number", code="params.invalid")
    return compiled, form[1] if form else ""
