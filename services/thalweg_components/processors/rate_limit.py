"""rate-limit: drops the records that come faster than a rate of event time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, component
from thalweg.graph.types import StreamType
from thalweg_components.keys import Keys, as_list
from thalweg_components.times import LONGEST_S, SHORTEST_S

T = TypeVar("T")


class Params(BaseModel):
    """How much is let through."""

    model_config = ConfigDict(extra="forbid")

    records: int = Field(ge=1, le=1_000_000, description="records that are let through, on average, in each `per_s`")
    per_s: float = Field(1.0, ge=SHORTEST_S, le=LONGEST_S, description="seconds of event time")
    burst: int | None = Field(None, ge=1, le=1_000_000, description="records at once after a silence; without it, as many as `records`")
    key: list[str] = Field(default_factory=list, max_length=32, description="fields or CEL expressions: each key has a rate of its own")

    @field_validator("key", mode="before")
    @classmethod
    def _one_key(cls, value: object) -> object:
        return as_list(value)


@dataclass
class State:
    """By key: the event time, ns, at which all that was let through has been paid for. The latest event time so far, and the one
    at which keys were last forgotten."""

    paid_ns: dict[bytes, int] = field(default_factory=dict)
    latest_ns: int = -(2**63)
    swept_ns: int = -(2**63)


@component("rate-limit", version="1.0.0")
class RateLimit:
    """Lets records through up to a rate, unchanged, and drops those that come faster.

    **Ports**: `in` takes any type; `out` emits the same type.

    **Params**: `records` in each `per_s` (seconds of event time, 1e-6 to 1e9) on average, `burst` (how many may come at once after
    a silence; by default `records`), `key` (fields or CEL expressions; each key has a rate of its own). In any stretch of event
    time, at most `burst` plus its share of the rate is let through.

    **Time** is the records' event time, never the clock: a batch over a year of data keeps what a live run would have kept in
    that year, however fast it goes, and every run keeps the same. In a live graph event time is when the server got the record. A
    record that is behind others in time counts as of the latest time so far.

    **Nulls**: null keys are equal to one another. **Faults**: unknown fields are rejected before it runs.

    **Memory**: one number per key that was used within the last `per_s` * `burst` / `records`.
    """

    params: Params
    state: State

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type, once the keys fit it."""
        Keys(params.key, inputs["in"])
        return {"out": inputs["in"]}

    def setup(self, context: Context) -> None:
        """Compiles the keys, works out the price of a record."""
        self._keys = Keys(self.params.key, context.input_type("in"))
        self._price_ns = max(1, round(self.params.per_s * 1_000_000_000 / self.params.records))
        self._credit_ns = ((self.params.burst or self.params.records) - 1) * self._price_ns

    def process(self, record: T, context: Context) -> T | None:
        """The record, or None where it comes too soon."""
        key = self._keys.of(record)
        now_ns = self.state.latest_ns = max(self.state.latest_ns, context.time_ns)
        paid_ns = max(self.state.paid_ns.get(key, now_ns), now_ns)
        if paid_ns - now_ns > self._credit_ns:
            return None
        self._forget(now_ns)
        self.state.paid_ns[key] = paid_ns + self._price_ns
        return record

    def _forget(self, now_ns: int) -> None:
        """Drops the keys that have their whole burst again; seldom, as it looks at all of them."""
        if now_ns - self.state.swept_ns > self._credit_ns + self._price_ns:
            self.state.swept_ns = now_ns
            self.state.paid_ns = {key: paid_ns for key, paid_ns in self.state.paid_ns.items() if paid_ns > now_ns}
