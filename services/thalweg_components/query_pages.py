"""Reads the rows of a query in the order of its cursor columns, page by page, for sources of rows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from thalweg import At, Bad, RecordError, RejectedError, UnreachableError
from thalweg.graph.types import Record, format_type
from thalweg_components.backoff import Backoff
from thalweg_components.payloads import check_time_field
from thalweg_components.sql_values import from_column
from thalweg_components.times import event_time_ns
from thalweg_components.type_params import MAX_TYPE, concrete_type

MAX_RAW = 65_536  # characters of a row that does not fit, in its dead letter


class QueryParams(BaseModel):
    """Which rows, in which order."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1, max_length=65_536, description="a SELECT without ORDER BY and LIMIT")
    cursor: list[str] = Field(
        min_length=1, max_length=8, description="columns that together are unique, never null, and rise with new rows"
    )
    schema_: str = Field(alias="schema", max_length=MAX_TYPE, description="type of a row, as in `record{id: int, name: str?}`")
    time_field: str | None = Field(None, description="timestamp that is the event time; without it, the number of the row")
    page_rows: int = Field(1000, ge=1, le=100_000, description="rows that are asked for at once")
    follow: bool = Field(False, description="true: go on with new rows, for ever")
    poll_s: float = Field(5.0, ge=0.05, le=3600, description="how often new rows are looked for when following, seconds")

    @field_validator("query")
    @classmethod
    def _is_one_statement(cls, text: str) -> str:
        return text.strip().removesuffix(";")

    @model_validator(mode="after")
    def _fits(self) -> QueryParams:
        check_time_field(self.kind(), self.time_field)
        return self

    def kind(self) -> Record:
        """Type of a row."""
        found = concrete_type(self.schema_)
        if not isinstance(found, Record) or not found.fields:
            raise ValueError(f"schema: a row is a record, not {format_type(found)[:80]}")
        return found


Cursor = list[Any]


class Origin(Protocol):
    """A database that answers the query. All of it blocks; each call but `close` raises UnreachableError where it is away."""

    name: str

    def open(self) -> list[str]:
        """Connects where it is not; the columns of the query."""

    def newest(self, after: Cursor | None) -> Cursor | None:
        """The highest cursor, when no row can appear below it any more; None where there is nothing behind `after`."""

    def page(self, after: Cursor | None, upto: Cursor) -> list[tuple[tuple[Any, ...], Cursor]]:
        """The next rows in order, each with its cursor; none where there are no more."""

    def wait(self, timeout_s: float) -> None:
        """Returns when there may be new rows, or after so long."""

    def close(self) -> None:
        """Lets go of the connection. Idempotent."""


class QueryPages:
    """The records of a query.

    Args:
        origin: which database.
        params: what is read.
        record_class: of what is emitted.
        logger: is told of outages.
        json_is_text: as `from_column` has it.
    """

    def __init__(
        self, origin: Origin, params: QueryParams, record_class: Any, logger: logging.Logger, *, json_is_text: bool = False
    ) -> None:
        self._origin, self._params, self._class = origin, params, record_class
        self._backoff = Backoff(logger, origin.name)
        self._changes = [(name, from_column(kind, json_is_text=json_is_text)) for name, kind in params.kind().fields]
        self._places: list[int] = []

    def read(self, after: Cursor | None) -> Iterator[At[Any] | Bad]:
        """Records behind a cursor; outages are waited out.

        Raises:
            RejectedError: the query is not one, or does not give what the schema says.
        """
        while True:
            try:
                self._look_at(self._origin.open())
                upto = self._origin.newest(after)
                while upto is not None and (rows := self._origin.page(after, upto)):
                    for row, after in rows:  # where to go on is what the last row says
                        yield self._item(row, after)
                self._backoff.worked()
                if not self._params.follow:
                    return
                self._origin.wait(self._params.poll_s)
            except UnreachableError as error:
                self._origin.close()
                time.sleep(self._backoff.failed(error))
            except RecordError as error:
                raise RejectedError(f"query: {error}", code="params.invalid") from error

    def _look_at(self, columns: list[str]) -> None:
        for name in [*self._params.cursor, *(name for name, _ in self._changes)]:
            if name not in columns:
                hint = f"it has: {', '.join(columns)[:200]}"
                raise RejectedError(f"the query has no column {name}", code="params.invalid", hint=hint)
        self._places = [columns.index(name) for name, _ in self._changes]

    def _item(self, row: tuple[Any, ...], cursor: Cursor) -> At[Any] | Bad:
        try:
            values = [_changed(row[at], name, change) for at, (name, change) in zip(self._places, self._changes, strict=True)]
            record = self._class(*values)
            field = self._params.time_field
            return At(record, cursor, None if field is None else event_time_ns(getattr(record, field)))
        except RecordError as error:
            where = f"row {dict(zip(self._params.cursor, cursor, strict=True))}"
            return Bad(RecordError(str(error), where, error.hint), repr(row)[:MAX_RAW], cursor)


def _changed(value: Any, name: str, change: Callable[[Any], Any]) -> Any:
    try:
        return change(value)
    except RecordError as error:
        raise RecordError(f"column {name}: {error}") from None
