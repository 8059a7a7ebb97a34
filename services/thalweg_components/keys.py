"""Keys of records: the value of one or more expressions, as bytes that are equal when the values are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from thalweg.graph.types import StreamType
from thalweg_components.expressions import compile_expression

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class Keys:
    """Compiled key expressions.

    Args:
        key: fields, or CEL expressions.
        source: type of the records.
        what: name of the param, for messages.

    Raises:
        RejectedError: `expression.invalid`.
    """

    def __init__(self, key: Iterable[str], source: StreamType, what: str = "key") -> None:
        self._expressions = [compile_expression(one, source, what=what) for one in key]

    def of(self, record: Any) -> bytes:
        """The record's key; without expressions all records have the same. Nulls are equal to one another."""
        return _encode([one.evaluate(record) for one in self._expressions])


def as_list(value: object) -> object:
    """For params: a bare text stands for a list of one."""
    return [value] if isinstance(value, str) else value
