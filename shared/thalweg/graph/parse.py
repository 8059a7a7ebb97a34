"""Reads stream types as people write them."""

from __future__ import annotations

import re

from thalweg.errors import RejectedError
from thalweg.graph import types as st
from thalweg.graph.field_names import check_field_name
from thalweg.graph.unions import check_union

_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|\d+|[\[\]{}<>(),:?|*])")
MAX_CHARACTERS, MAX_DEPTH = 65_536, 32
_ANY_MEDIA: dict[str, st.StreamType] = {"image": st.ImageType(), "audio": st.AudioType(), "tensor": st.TensorType()}


def parse_type(text: str) -> st.StreamType:
    """The stream type that `text` spells; the inverse of `format_type`.

    Raises:
        RejectedError: `type.syntax`, with the position; `type.union` or `type.field_name`, for what cannot be decoded or named.
    """
    if len(text) > MAX_CHARACTERS:
        raise RejectedError(f"a type of {len(text)} characters is too long", code="type.syntax")
    parser = _Parser(text)
    found = parser.union(0)
    parser.end()
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.at = text, list[tuple[str, int]](), 0
        position = 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = _TOKEN.match(text, position)
            if match is None:
                raise RejectedError(f"type {text!r}: unexpected {text[position : position + 1]!r} at {position}", code="type.syntax")
            self.tokens.append((match[1], match.start(1)))
            position = match.end()

    @property
    def token(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> str:
        token = self.token
        if not token or (expected is not None and token != expected):
            raise self.fault(f"expected {expected or 'a type'!r}")
        self.at += 1
        return token

    def fault(self, what: str) -> RejectedError:
        where = self.tokens[self.at][1] if self.at < len(self.tokens) else len(self.text)
        return RejectedError(f"type {self.text!r}: {what} at {where}", code="type.syntax")

    def end(self) -> None:
        if self.token:
            raise self.fault(f"unexpected {self.token!r}")

    def union(self, depth: int) -> st.StreamType:
        options = [self.postfix(depth)]
        while self.token == "|":
            self.take()
            options.append(self.postfix(depth))
        check_union(tuple(options), f"type {self.text!r}")
        return options[0] if len(options) == 1 else st.UnionOf(tuple(options))

    def postfix(self, depth: int) -> st.StreamType:
        found = self.primary(depth + 1)
        while self.token == "?":
            self.take()
            found = st.OptionalOf(found)
        return found

    def primary(self, depth: int) -> st.StreamType:
        if depth > MAX_DEPTH:
            raise self.fault("nested too deeply")
        if self.token == "(":
            self.take()
            found = self.union(depth)
            self.take(")")
            return found
        name = self.take()
        if not name.isidentifier():
            self.at -= 1
            raise self.fault("expected a type")
        if name in st.SCALARS:
            return st.SCALARS[name]
        if name in ("list", "map"):
            self.take("[")
            inner = self.union(depth)
            self.take("]")
            return st.ListOf(inner) if name == "list" else st.MapOf(inner)
        if name == "tuple":
            return st.TupleOf(self.items(depth))
        if name in ("record", "table"):
            fields = self.fields(depth)
            return st.Record(fields) if name == "record" else st.TableOf(fields)
        if name in ("image", "audio", "tensor"):
            return self.media(name)
        return st.Variable(name)

    def items(self, depth: int) -> tuple[st.StreamType, ...]:
        self.take("[")
        found: list[st.StreamType] = []
        while self.token != "]":
            found.append(self.union(depth))
            if self.token != "]":
                self.take(",")
        self.take("]")
        return tuple(found)

    def fields(self, depth: int) -> tuple[tuple[str, st.StreamType], ...]:
        self.take("{")
        found: list[tuple[str, st.StreamType]] = []
        while self.token != "}":
            name = self.take()
            check_field_name(name, f"type {self.text!r}")
            self.take(":")
            found.append((name, self.union(depth)))
            if self.token != "}":
                self.take(",")
        self.take("}")
        return tuple(found)

    def media(self, name: str) -> st.StreamType:
        arguments: list[str] = []
        if self.token == "<":
            self.take()
            text = ""
            while self.token != ">":
                text += self.take()
            self.take(">")
            arguments = text.split(",")
        try:
            return _media(name, arguments)
        except ValueError:
            raise self.fault(f"{name}<{','.join(arguments)}> is not a type") from None


def _media(name: str, arguments: list[str]) -> st.StreamType:
    if not arguments:
        return _ANY_MEDIA[name]
    if name == "image":
        (form,) = arguments
        return st.ImageType(form)
    first, second = arguments
    if name == "audio":
        return st.AudioType(_number(first), _number(second))
    shape = None if second == "*" else tuple(_number(one) for one in second.split("x")) if second else ()
    return st.TensorType(None if first == "?" else first, shape)


def _number(text: str) -> int | None:
    return None if text == "?" else int(text)
