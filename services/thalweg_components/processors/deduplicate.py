"""deduplicate: lets the first record of each key through."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, component
from thalweg.graph.types import StreamType
from thalweg_components.expressions import compile_expression

T = TypeVar("T")


class Params(BaseModel):
    """What makes two records the same."""

    model_config = ConfigDict(extra="forbid")

    key: list[str] = Field(min_length=1, description="fields, or CEL expressions, that are equal in duplicates")
    within_s: float | None = Field(None, gt=0, description="event time for which a key is remembered, seconds; unset: for ever")

    @field_validator("key", mode="before")
    @classmethod
    def _one_key(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


@dataclass
class State:
    """Event time of the last record let through, by key in msgpack."""

    seen: dict[bytes, int] = field(default_factory=dict)


@component("deduplicate", version="1.0.0")
class Deduplicate:
    """Lets the first record of each key through, unchanged, and drops the ones that follow.

    **Ports**: `in` takes any type; `out` emits the same type.

    **Params**: `key` (field or fields that are equal in duplicates), `within_s` (seconds of event time after which a key may
    pass again; without it a key passes once, and every key is remembered).

    **Faults**: unknown fields are rejected before it runs.

    **Memory**: one entry per key within the bound.
    """

    params: Params
    state: State

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type, once the keys fit it."""
        for key in params.key:
            compile_expression(key, inputs["in"], what="key")
        return {"out": inputs["in"]}

    def setup(self, context: Context) -> None:
        """Compiles the keys."""
        self._keys = [compile_expression(key, context.input_type("in"), what="key") for key in self.params.key]
        self._bound_ns = None if self.params.within_s is None else round(self.params.within_s * 1_000_000_000)

    def process(self, record: T, context: Context) -> T | None:
        """The record, or None for a duplicate."""
        key = msgspec.msgpack.encode([one.evaluate(record) for one in self._keys])
        last = self.state.seen.get(key)
        if last is not None and (self._bound_ns is None or context.time_ns - last < self._bound_ns):
            return None
        self.state.seen.pop(key, None)  # so that the dict stays in the order in which keys were let through
        self.state.seen[key] = context.time_ns
        return record

    def on_watermark(self, watermark_ns: int, context: Context) -> None:
        """Forgets the keys that may pass again."""
        if self._bound_ns is not None:
            horizon = watermark_ns - self._bound_ns
            while self.state.seen and self.state.seen[oldest := next(iter(self.state.seen))] <= horizon:
                del self.state.seen[oldest]
