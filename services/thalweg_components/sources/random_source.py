"""random-source: records of seeded random values."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from thalweg import At, Context, component
from thalweg.graph.types import BOOL, FLOAT, INT, STR, OptionalOf, Record, StreamType
from thalweg_components.names import check_names
from thalweg_components.times import LONGEST_S, SHORTEST_S, is_event_time

MAX_FIELDS, MAX_CHOICES, MAX_INT = 200, 1000, 2**53
Row = TypeVar("Row")


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    nulls: float = Field(0.0, ge=0, le=1, description="share of records in which it is null; above 0 the field is a T?")


class _Between(_Values):
    low: float = Field(0.0, ge=-1e300, le=1e300)
    high: float = Field(1.0, ge=-1e300, le=1e300)

    @model_validator(mode="after")
    def _check_order(self) -> _Between:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Uniform(_Between):
    """A float from `low` to `high`."""

    kind: Literal["uniform"]

    def draw(self, source: random.Random) -> float:
        """A value."""
        return self.low + (self.high - self.low) * source.random()


class Integer(_Values):
    """An int from `low` to `high`, both included."""

    kind: Literal["int"]
    low: int = Field(0, ge=-MAX_INT, le=MAX_INT)
    high: int = Field(ge=-MAX_INT, le=MAX_INT)

    @model_validator(mode="after")
    def _check_order(self) -> Integer:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self

    def draw(self, source: random.Random) -> int:
        """A value."""
        return source.randint(self.low, self.high)


class Normal(_Values):
    """A float of a normal distribution."""

    kind: Literal["normal"]
    mean: float = Field(0.0, ge=-1e100, le=1e100)
    deviation: float = Field(1.0, ge=0, le=1e100)

    def draw(self, source: random.Random) -> float:
        """A value."""
        return source.gauss(self.mean, self.deviation)


class Choice(_Values):
    """One of some texts, each as likely as often as it is named."""

    kind: Literal["choice"]
    of: list[str] = Field(min_length=1, max_length=MAX_CHOICES)

    def draw(self, source: random.Random) -> str:
        """A value."""
        return source.choice(self.of)


class Truth(_Values):
    """True with a likelihood of `share`."""

    kind: Literal["bool"]
    share: float = Field(0.5, ge=0, le=1)

    def draw(self, source: random.Random) -> bool:
        """A value."""
        return source.random() < self.share


Values = Annotated[Uniform | Integer | Normal | Choice | Truth, Field(discriminator="kind")]
_TYPES: dict[str, StreamType] = {"uniform": FLOAT, "normal": FLOAT, "int": INT, "choice": STR, "bool": BOOL}


class Params(BaseModel):
    """What to emit."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(ge=0, lt=2**63, description="another seed gives other records")
    count: int = Field(ge=0, le=2**53, description="records in all")
    fields: dict[str, Values] = Field(min_length=1, max_length=MAX_FIELDS, description="field -> what its values are like")
    every_s: float = Field(1.0, ge=SHORTEST_S, le=LONGEST_S, description="event time between records, seconds")

    @model_validator(mode="after")
    def _check_end(self) -> Params:
        if not is_event_time(self.count * round(self.every_s * 1_000_000_000)):
            raise ValueError("the last record would be after the year 2262")
        return self


@component("random-source", version="1.0.0")
class RandomSource:
    """Emits records of seeded random values, for tests and trials.

    **Emits** on `out` a record with the fields of `fields`. Record n depends on `seed` and n alone. Its event time is n * `every_s`
    after 1970-01-01.

    **Params**: `seed`, `count` (records), `every_s` (seconds of event time, 1e-6 to 1e9), `fields` (field: values). Values are
    `{kind: uniform, low, high}` and `{kind: normal, mean, deviation}` (float), `{kind: int, low, high}` (both included),
    `{kind: choice, of: [texts]}`, `{kind: bool, share}`; with `nulls: 0.1` a tenth of them is null.

    **Faults**: none of its own.

    **Resumes** at the record behind the last committed one.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The fields asked for."""
        check_names(list(params.fields))
        kinds = ((name, _TYPES[one.kind], one.nulls) for name, one in params.fields.items())
        return {"out": Record(tuple((name, OptionalOf(kind) if nulls else kind) for name, kind, nulls in kinds))}

    def read(self, cursor: int | None, context: Context) -> Iterator[At[Row]]:
        """Records from number `cursor` on."""
        make, step_ns = context.record_class("out"), round(self.params.every_s * 1_000_000_000)
        fields = list(self.params.fields.values())
        for number in range(cursor or 0, self.params.count):
            source = random.Random(f"{self.params.seed}:{number}")
            yield At(make(*[_value(one, source) for one in fields]), number + 1, number * step_ns)


def _value(values: Any, source: random.Random) -> Any:
    """The draw is made in any case, so that a share of nulls changes no other value."""
    is_null, drawn = source.random() < values.nulls, values.draw(source)
    return None if is_null else drawn
