"""sample: lets a share of the records through."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from thalweg import Context, component
from thalweg.graph.types import StreamType
from thalweg_components.keys import Keys, as_list

T = TypeVar("T")
_ALL = 2**64


class Params(BaseModel):
    """Which ones."""

    model_config = ConfigDict(extra="forbid")

    share: float | None = Field(None, ge=0, le=1, description="likelihood with which a record, or a key, is let through")
    every: int | None = Field(None, ge=1, le=2**53, description="lets the first record through, and then every so many-th")
    key: list[str] = Field(default_factory=list, max_length=32, description="fields or CEL expressions: equal ones stay together")
    seed: int = Field(0, ge=0, lt=2**63, description="another seed lets another share through")

    @field_validator("key", mode="before")
    @classmethod
    def _one_key(cls, value: object) -> object:
        return as_list(value)

    @model_validator(mode="after")
    def _check_one(self) -> Params:
        if (self.share is None) == (self.every is None):
            raise ValueError("give either share or every")
        if self.every is not None and self.key:
            raise ValueError("key goes with share only")
        return self


@dataclass
class State:
    """Records so far."""

    count: int = 0


@component("sample", version="1.0.0")
class Sample:
    """Lets a share of the records through, unchanged, and drops the others.

    **Ports**: `in` takes any type; `out` emits the same type.

    **Params**: either `share` (0 to 1: each record is let through with this likelihood) or `every` (the first record, and then
    every so many-th). With `share`: `key` (fields or CEL expressions; records of equal keys are all let through, or none), `seed`.

    **Which records** a share lets through depends on `seed` and on the record's id, or its key, alone: every run lets the same
    ones through, and a larger share those of a smaller one and others.

    **Nulls**: null keys are equal to one another. **Faults**: unknown fields are rejected before it runs.
    """

    params: Params
    state: State

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type, once the keys fit it."""
        Keys(params.key, inputs["in"])
        return {"out": inputs["in"]}

    def setup(self, context: Context) -> None:
        """Compiles the keys."""
        self._keys = Keys(self.params.key, context.input_type("in"))
        self._seed = self.params.seed.to_bytes(8, "big")
        self._below = round((self.params.share or 0) * _ALL)

    def process(self, record: T, context: Context) -> T | None:
        """The record, or None."""
        if self.params.every is not None:
            self.state.count += 1
            return record if (self.state.count - 1) % self.params.every == 0 else None
        what = self._keys.of(record) if self.params.key else str(context.record_id).encode()
        drawn = hashlib.blake2b(what, digest_size=8, key=self._seed).digest()
        return record if int.from_bytes(drawn, "big") < self._below else None
