"""join: merges records of two streams that have the same key at about the same time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, Emit, component
from thalweg.errors import RejectedError
from thalweg.graph.types import Record, StreamType, format_type
from thalweg_components.expressions import CompiledExpression, compile_expression

L = TypeVar("L")
R = TypeVar("R")
Out = TypeVar("Out")


class Params(BaseModel):
    """What belongs together."""

    model_config = ConfigDict(extra="forbid")

    key: list[str] = Field(min_length=1, description="fields, or CEL expressions, that are equal on both sides")
    within_s: float = Field(ge=0, description="largest distance of their event times, seconds")

    @field_validator("key", mode="before")
    @classmethod
    def _one_key(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


@dataclass
class State:
    """Records of each side by key in msgpack, as [event time, field values in msgpack]."""

    left: dict[bytes, list[tuple[int, bytes]]] = field(default_factory=dict)
    right: dict[bytes, list[tuple[int, bytes]]] = field(default_factory=dict)
    swept_ns: int = -(2**63)


@component("join", version="1.0.0")
class Join:
    """Merges records of two streams that have the same key at about the same time (an inner join).

    **Ports**: `left` and `right` take records. `out` emits, for every pair whose keys are equal and whose event times are at
    most `within_s` apart, the fields of the left record and then those of the right one that the left does not have; the
    event time is the later one of the two.

    **Params**: `key` (field or fields of both sides), `within_s` (seconds of event time).

    **Faults**: unknown fields are rejected before it runs. Records without a partner are dropped.

    **Memory**: the records of both sides within the bound.
    """

    params: Params
    state: State

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Left fields, then the right ones that are new."""
        left, right = inputs["left"], inputs["right"]
        for port, kind in (("left", left), ("right", right)):
            if not isinstance(kind, Record):
                raise RejectedError(f"{port}: {format_type(kind)} is no record", code="type.unsupported", hint="join works on records")
            _compile(params, kind, port)
        return {"out": Record((*_fields(left).items(), *_new_fields(left, right).items()))}

    def setup(self, context: Context) -> None:
        """Compiles the keys."""
        left, right = context.input_type("left"), context.input_type("right")
        self._keys = {"left": _compile(self.params, left, "left"), "right": _compile(self.params, right, "right")}
        self._names = {"left": list(_fields(left)), "right": list(_new_fields(left, right))}
        self._bound_ns = round(self.params.within_s * 1_000_000_000)
        self._decode = msgspec.msgpack.Decoder(context.record_class("out")).decode

    def on_left(self, record: L, context: Context) -> Iterator[Emit[Out]]:
        """Pairs a left record with the right ones so far."""
        key, values = self._take("left", record)
        self.state.left.setdefault(key, []).append((context.time_ns, msgspec.msgpack.encode(values)))
        for time_ns, other in self.state.right.get(key, []):
            if abs(context.time_ns - time_ns) <= self._bound_ns:
                yield self._pair(values, msgspec.msgpack.decode(other), max(time_ns, context.time_ns))

    def on_right(self, record: R, context: Context) -> Iterator[Emit[Out]]:
        """Pairs a right record with the left ones so far."""
        key, values = self._take("right", record)
        self.state.right.setdefault(key, []).append((context.time_ns, msgspec.msgpack.encode(values)))
        for time_ns, other in self.state.left.get(key, []):
            if abs(context.time_ns - time_ns) <= self._bound_ns:
                yield self._pair(msgspec.msgpack.decode(other), values, max(time_ns, context.time_ns))

    def on_watermark(self, watermark_ns: int, context: Context) -> None:
        """Forgets the records that nothing can be paired with any more; at most once per bound."""
        horizon = watermark_ns - self._bound_ns
        if horizon - self.state.swept_ns < self._bound_ns:
            return
        self.state.swept_ns = horizon
        for side in (self.state.left, self.state.right):
            for key in list(side):
                side[key] = [item for item in side[key] if item[0] >= horizon]
                if not side[key]:
                    del side[key]

    def _take(self, port: str, record: Any) -> tuple[bytes, dict[str, Any]]:
        key = msgspec.msgpack.encode([one.evaluate(record) for one in self._keys[port]])
        return key, {name: getattr(record, name) for name in self._names[port]}

    def _pair(self, left: dict[str, Any], right: dict[str, Any], time_ns: int) -> Emit[Any]:
        return Emit(self._decode(msgspec.msgpack.encode(left | right)), time_ns)


def _fields(kind: StreamType) -> dict[str, StreamType]:
    return dict(kind.fields) if isinstance(kind, Record) else {}


def _new_fields(left: StreamType, right: StreamType) -> dict[str, StreamType]:
    return {name: kind for name, kind in _fields(right).items() if name not in _fields(left)}


def _compile(params: Params, kind: StreamType, port: str) -> list[CompiledExpression]:
    return [compile_expression(key, kind, what=f"key of {port}") for key in params.key]
