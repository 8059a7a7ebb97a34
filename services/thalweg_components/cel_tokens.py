"""Tokens of a CEL expression: finds the operands around an operator so that an int can be promoted to float."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<string>[rRbB]{0,2}(?:\"\"\".*?\"\"\"|'''.*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
      |(?P<number>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?|0[xX][0-9a-fA-F]+[uU]?|\d+[uU]?)
      |(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\s*\.\s*[A-Za-z_][A-Za-z0-9_]*)*)
      |(?P<space>\s+|//[^\n]*)
      |(?P<symbol>&&|\|\||[<>=!]=|.)""",
    re.VERBOSE | re.DOTALL,
)
_PRECEDENCE = {
    "?": 1,
    ":": 1,
    "||": 2,
    "&&": 3,
    "<": 4,
    "<=": 4,
    ">": 4,
    ">=": 4,
    "==": 4,
    "!=": 4,
    "in": 4,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "%": 6,
}
_OPEN, _CLOSE = {"(", "[", "{"}, {")", "]", "}"}
_INT = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)\Z")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the source: `kind` is string, number, name or symbol; `start` and `end` are code point offsets."""

    kind: str
    text: str
    start: int
    end: int


def tokenize(source: str) -> list[Token]:
    """Splits CEL into tokens without spaces; dotted names are one token. Never raises: faults are the compiler's to tell."""
    return [Token(str(m.lastgroup), m.group(), m.start(), m.end()) for m in _TOKEN.finditer(source) if m.lastgroup != "space"]


def names(source: str) -> set[str]:
    """All dotted names that occur in the source, without spaces: a superset of the fields that it reads."""
    return {re.sub(r"\s+", "", token.text) for token in tokenize(source) if token.kind == "name"}


def with_floats(source: str) -> str:
    """The source with every int literal as a float one."""
    return _with_float_literals(source, tokenize(source)) or source


def has_arithmetic(source: str) -> bool:
    """Whether an arithmetic operator occurs in the source."""
    return any(token.kind == "symbol" and token.text in "+-*/%" for token in tokenize(source))


def tests_null(source: str) -> bool:
    """Whether the source mentions `null`."""
    return any(token.text == "null" for token in tokenize(source))


def with_null_tests(source: str, fields: Container[str], prefix: str) -> str:
    """Puts a prefix before each of the fields that is compared with `null`: what is compared is another variable than what is used."""
    tokens, changed = tokenize(source), source
    for index in range(len(tokens) - 1, -1, -1):
        name = re.sub(r"\s+", "", tokens[index].text)
        around = [
            [token.text for token in tokens[index + 1 : index + 3]],
            [token.text for token in tokens[max(index - 2, 0) : index]][::-1],
        ]
        if name in fields and any(two in (["==", "null"], ["!=", "null"]) for two in around):
            changed = f"{changed[: tokens[index].start]}{prefix}{changed[tokens[index].start :]}"
    return changed


def offset(source: str, line: int, column: int) -> int:
    """Code point offset of a 1-based line and column."""
    return sum(len(text) + 1 for text in source.split("\n")[: line - 1]) + column - 1


def promote(source: str, position: int, arguments: list[str]) -> str | None:
    """Rewrites the int operand of the operator at `position` to float, or returns None where there is nothing to promote.

    An int literal `2` becomes `2.0`; any other int operand `n + 1` becomes `double(n + 1)`, which keeps int division as it is.

    Args:
        position: offset of the operator, as the checker reports it.
        arguments: CEL types of its operands, e.g. `["double", "int"]`.
    """
    tokens = tokenize(source)
    index = next((i for i, token in enumerate(tokens) if token.start == position), None)
    if index is None:
        return None
    span = _int_operand(tokens, index, arguments)
    if span is None:
        return None
    operand = tokens[span[0] : span[1]]
    if not operand:
        return None
    if arguments[-1] == "list(int)" or all(token.kind == "number" or token.text in "-()" for token in operand):
        return _with_float_literals(source, operand)
    start, end = operand[0].start, operand[-1].end
    return f"{source[:start]}double({source[start:end]}){source[end:]}"


def _int_operand(tokens: list[Token], index: int, arguments: list[str]) -> tuple[int, int] | None:
    """Range of tokens that the promotion is about."""
    if arguments in (["double", "int"], ["double", "list(int)"]):
        return index + 1, _right_end(tokens, index)
    if arguments == ["int", "double"]:
        return _left_start(tokens, index), index
    if arguments == ["bool", "double", "int"]:
        return _colon(tokens, index) + 1, _right_end(tokens, _colon(tokens, index), at_least=0)
    if arguments == ["bool", "int", "double"]:
        return index + 1, _colon(tokens, index)
    return None


def _with_float_literals(source: str, operand: list[Token]) -> str | None:
    changed = source
    for token in reversed(operand):
        if token.kind == "number" and _INT.match(token.text):
            number = int(token.text, 16 if token.text[:2] in ("0x", "0X") else 10)
            changed = f"{changed[: token.start]}{number}.0{changed[token.end :]}"
    return None if changed == source else changed


def _is_binary(tokens: list[Token], index: int) -> bool:
    token = tokens[index]
    if token.text not in _PRECEDENCE or token.kind == "string":
        return False
    if token.text != "-":
        return True
    if index == 0:
        return False
    before = tokens[index - 1]
    return before.kind in ("string", "number") or before.text in _CLOSE or (before.kind == "name" and before.text != "in")


def _right_end(tokens: list[Token], index: int, at_least: int | None = None) -> int:
    """Index behind the last token of the operand right of the operator: stops at one that binds no tighter."""
    level = _PRECEDENCE[tokens[index].text] if at_least is None else at_least
    depth = 0
    for i in range(index + 1, len(tokens)):
        text = tokens[i].text
        if text in _OPEN:
            depth += 1
        elif text in _CLOSE:
            depth -= 1
        if depth < 0 or (depth == 0 and (text == "," or (_is_binary(tokens, i) and _PRECEDENCE[text] <= level))):
            return i
    return len(tokens)


def _left_start(tokens: list[Token], index: int) -> int:
    """Index of the first token of the operand left of the operator: stops at one that binds looser."""
    level = _PRECEDENCE[tokens[index].text]
    depth = 0
    for i in range(index - 1, -1, -1):
        text = tokens[i].text
        if text in _CLOSE:
            depth += 1
        elif text in _OPEN:
            depth -= 1
        if depth < 0 or (depth == 0 and (text == "," or (_is_binary(tokens, i) and _PRECEDENCE[text] < level))):
            return i + 1
    return 0


def _colon(tokens: list[Token], index: int) -> int:
    """Index of the `:` that belongs to the `?` at index, or of the end."""
    depth = 0
    for i in range(index + 1, len(tokens)):
        text = tokens[i].text
        depth += (text in _OPEN or text == "?") - (text in _CLOSE)
        if text == ":" and depth == 0:
            return i
        depth -= text == ":"
    return len(tokens) - 1
