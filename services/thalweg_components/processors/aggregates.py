"""Aggregates of one field over one group: their params, their result types, and their running values."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from thalweg.errors import RejectedError
from thalweg.graph.types import BOOL, DURATION, FLOAT, INT, STR, TIMESTAMP, OptionalOf, StreamType, format_type

Operation = Literal["count", "sum", "mean", "min", "max", "quantile"]
_NUMERIC = (INT, FLOAT)
_ORDERED = (INT, FLOAT, STR, BOOL, TIMESTAMP, DURATION)


class Aggregate(BaseModel):
    """One output field: an operation over one input field."""

    model_config = ConfigDict(extra="forbid")

    op: Operation = Field(description="quantile interpolates linearly between the two nearest values")
    field: str | None = Field(None, description="field, or CEL expression, that it is over; count needs none")
    q: float | None = Field(None, ge=0, le=1, description="quantile: 0.5 is the median")

    @model_validator(mode="after")
    def _check_needs(self) -> Aggregate:
        if self.op != "count" and self.field is None:
            raise ValueError(f"{self.op} needs a field")
        if (self.q is None) == (self.op == "quantile"):
            raise ValueError("quantile needs q" if self.op == "quantile" else f"{self.op} takes no q")
        return self


def result_type(name: str, aggregate: Aggregate, field: StreamType | None) -> StreamType:
    """Type of the aggregate over a field of this type. Nulls are skipped, so all but count and sum of a `T?` are `T?`.

    Raises:
        RejectedError: `params.invalid`, when the operation does not apply to the field.
    """
    if aggregate.op == "count" or field is None:
        return INT
    base = field.item if isinstance(field, OptionalOf) else field
    allowed = _ORDERED if aggregate.op in ("min", "max") else _NUMERIC
    if base not in allowed:
        raise RejectedError(
            f"aggregates.{name}: {aggregate.op} does not apply to {aggregate.field!r}, which is {format_type(field)}",
            code="params.invalid",
            hint=f"it applies to {', '.join(format_type(one) for one in allowed)}",
        )
    result = FLOAT if aggregate.op in ("mean", "quantile") else base
    return OptionalOf(result) if field != base and aggregate.op != "sum" else result


def start_cell(aggregate: Aggregate, field: StreamType | None) -> list[Any]:
    """Running value of an aggregate that has seen nothing; a list, so that it can be snapshotted as it is."""
    match aggregate.op:
        case "count":
            return [0]
        case "sum":
            return [0 if field in (INT, OptionalOf(INT)) else 0.0]
        case "mean":
            return [0.0, 0]
        case "quantile":
            return []
        case _:
            return [None]


def add(aggregate: Aggregate, cell: list[Any], value: Any) -> None:
    """Takes one value that is not null into the running value."""
    match aggregate.op:
        case "count":
            cell[0] += 1
        case "sum":
            cell[0] += value
        case "mean":
            cell[0] += value
            cell[1] += 1
        case "quantile":
            cell.append(value)
        case "min":
            cell[0] = value if cell[0] is None or value < cell[0] else cell[0]
        case "max":
            cell[0] = value if cell[0] is None or value > cell[0] else cell[0]


def merge(aggregate: Aggregate, cell: list[Any], other: list[Any]) -> None:
    """Takes another running value into this one: two sessions have met."""
    match aggregate.op:
        case "count" | "sum" | "mean":
            cell[:] = [mine + theirs for mine, theirs in zip(cell, other, strict=True)]
        case "quantile":
            cell.extend(other)
        case "min" | "max":
            if other[0] is not None:
                add(aggregate, cell, other[0])


def result(aggregate: Aggregate, cell: list[Any]) -> Any:
    """The aggregate's value; None where no value was seen that it could be of."""
    if aggregate.op == "mean":
        return cell[0] / cell[1] if cell[1] else None
    if aggregate.op == "quantile":
        return quantile(sorted(cell), aggregate.q or 0.0) if cell else None
    return cell[0]


def quantile(values: list[float], q: float) -> float:
    """Quantile of sorted values, linear between the two nearest (Hyndman and Fan's type 7)."""
    position = (len(values) - 1) * q
    low = int(position)
    high = min(low + 1, len(values) - 1)
    if values[low] == values[high]:  # also of infinities, which have no difference
        return float(values[low])
    return float(values[low] + (values[high] - values[low]) * (position - low))
