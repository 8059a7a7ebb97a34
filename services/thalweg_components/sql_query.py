"""Answers a query from any database that SQLAlchemy knows, in pages; loads SQLAlchemy."""

from __future__ import annotations

import datetime as dt
import decimal
import time
import uuid
from typing import Any

import sqlalchemy
from sqlalchemy import exc

from thalweg import RecordError, Secret
from thalweg_components.query_pages import Cursor, QueryParams
from thalweg_components.sql_connection import connect, make_engine, name_of, told

_TAGGED: dict[str, tuple[type[Any], Any, Any]] = {
    "timestamp": (dt.datetime, dt.datetime.isoformat, dt.datetime.fromisoformat),
    "date": (dt.date, dt.date.isoformat, dt.date.fromisoformat),
    "numeric": (decimal.Decimal, str, decimal.Decimal),
    "uuid": (uuid.UUID, str, uuid.UUID),
}


class SqlQuery:
    """A query as an origin of rows; implements `Origin`.

    Args:
        url: of the database, as SQLAlchemy has it.
        params: the query.
    """

    def __init__(self, url: Secret, params: QueryParams) -> None:
        self._engine = make_engine(url)
        self.name = name_of(self._engine, "")
        self._params = params
        self._connection: sqlalchemy.Connection | None = None
        self._columns: list[str] = []
        quote = self._engine.dialect.identifier_preparer.quote
        self._keys = [f"q.{quote(one)}" for one in params.cursor]
        self._query = f"({_without_names(params.query)}) q"

    def open(self) -> list[str]:
        """See `Origin.open`."""
        if self._connection is not None and not self._connection.invalidated:
            return self._columns
        connection = connect(self._engine)
        try:
            with told():
                try:
                    self._columns = list(connection.execute(sqlalchemy.text(f"select * from {self._query} where 1 = 0")).keys())
                except exc.OperationalError as error:  # of SQLite, which calls so what is wrong with a query
                    if "no such" in str(error.orig) or "syntax error" in str(error.orig) or "incomplete" in str(error.orig):
                        raise RecordError(str(error.orig)) from None
                    raise
                connection.rollback()
            if missing := [one for one in self._params.cursor if one not in self._columns]:
                raise RecordError(f"it has no column {missing[0]}", hint=f"it has: {', '.join(self._columns)[:200]}")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return self._columns

    def newest(self, after: Cursor | None) -> Cursor | None:
        """See `Origin.newest`. A lower cursor that is committed later is passed over: databases have no common way to foresee it."""
        known = " and ".join(f"{one} is not null" for one in self._keys)
        keys, order = ", ".join(self._keys), ", ".join(f"{one} desc" for one in self._keys)
        found = self._run(f"select {keys} from {self._query} where {known} order by {order}", {}, 1)
        newest = [_packed(one) for one in found[0]] if found else None
        return None if newest == after else newest

    def page(self, after: Cursor | None, upto: Cursor) -> list[tuple[tuple[Any, ...], Cursor]]:
        """See `Origin.page`."""
        keys = ", ".join(self._keys)
        bounds, values = [f"({keys}) <= ({_given('upto', upto)})"], _named("upto", upto)
        if after is not None:
            bounds.append(f"({keys}) > ({_given('after', after)})")
            values |= _named("after", after)
        asked = f"select * from {self._query} where {' and '.join(bounds)} order by {keys}"
        places = [self._columns.index(one) for one in self._params.cursor]
        return [(row, [_packed(row[at]) for at in places]) for row in self._run(asked, values, self._params.page_rows)]

    def wait(self, timeout_s: float) -> None:
        """See `Origin.wait`."""
        time.sleep(timeout_s)

    def close(self) -> None:
        """See `Origin.close`."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _run(self, asked: str, values: dict[str, Any], count: int) -> list[tuple[Any, ...]]:
        """The first rows; nothing stays open behind it. Where LIMIT is known, it is said, as drivers else fetch all."""
        assert self._connection is not None, "it is opened before"
        limit = "" if self._engine.dialect.name in ("mssql", "oracle") else f" limit {count}"
        with told():
            try:
                found = self._connection.execute(sqlalchemy.text(asked + limit), values)
                return [tuple(row) for row in found.fetchmany(count)]
            finally:
                self._connection.rollback()


def _without_names(query: str) -> str:
    """The query, in which SQLAlchemy finds no names to fill in."""
    return query.replace("\\", "\\\\").replace(":", r"\:")


def _packed(value: Any) -> Any:
    """A cursor column's value as msgpack has it."""
    for name, (kind, write, _) in _TAGGED.items():
        if isinstance(value, kind):
            return [name, write(value)]
    return value


def _unpacked(value: Any) -> Any:
    return _TAGGED[value[0]][2](value[1]) if isinstance(value, list | tuple) else value


def _given(name: str, cursor: Cursor) -> str:
    return ", ".join(f":{name}{index}" for index in range(len(cursor)))


def _named(name: str, cursor: Cursor) -> dict[str, Any]:
    return {f"{name}{index}": _unpacked(value) for index, value in enumerate(cursor)}
