"""Answers a query from PostgreSQL in pages; loads psycopg."""

from __future__ import annotations

import time
from typing import Any

from psycopg import sql

from thalweg import RecordError, Secret
from thalweg_components.postgres_connection import Connection, connect, name_of, told
from thalweg_components.query_pages import Cursor, QueryParams

_LOOK_S = 0.05  # how often unfinished writers are looked at


class PostgresQuery:
    """A query as an origin of rows; implements `Origin`.

    Cursors are text, and the server compares them as the types of their columns: exact for every type that it can order.

    Args:
        url: connection string.
        params: the query.
        channel: that is notified of new rows; None where none is.
    """

    def __init__(self, url: Secret, params: QueryParams, channel: str | None) -> None:
        self.name = name_of(url, "")
        self._url, self._params, self._channel = url, params, channel
        self._connection: Connection | None = None
        self._columns: list[str] = []
        self._types: list[str] = []

    def open(self) -> list[str]:
        """See `Origin.open`."""
        if self._connection is not None and not self._connection.closed:
            return self._columns
        connection = connect(self._url)
        try:
            with told():
                connection.execute("set default_transaction_read_only = on")
                if self._channel is not None:
                    connection.execute(sql.SQL("listen {}").format(sql.Identifier(self._channel)))
                self._describe(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return self._columns

    def newest(self, after: Cursor | None) -> Cursor | None:
        """See `Origin.newest`.

        A number of a sequence is given out before its row can be seen, so a lower one may be committed later. What is seen now is
        therefore read only when all transactions that were under way when it was seen have ended. One is from its first write on: a number
        that it took before that, by hand, is not seen coming.
        """
        keys = self._keys()
        order = sql.SQL(", ").join(sql.SQL("{} desc").format(one) for one in keys)
        texts = sql.SQL(", ").join(sql.SQL("{}::text").format(one) for one in keys)
        known = sql.SQL(" and ").join(sql.SQL("{} is not null").format(one) for one in keys)
        # The snapshot of a later statement knows all transactions that could hold a lower number than the rows that this one sees.
        row = self._run(sql.SQL("select {} from {} where {} order by {} limit 1").format(texts, self._query(), known, order), {})
        if not row or list(row[0]) == after:
            return None
        if self._params.follow:
            self._wait_for_writers()
        return list(row[0])

    def page(self, after: Cursor | None, upto: Cursor) -> list[tuple[tuple[Any, ...], Cursor]]:
        """See `Origin.page`."""
        keys = self._keys()
        both = sql.SQL(", ").join(keys)
        texts = sql.SQL(", ").join(sql.SQL("{}::text").format(one) for one in keys)
        bounds, values = [sql.SQL("({}) <= ({})").format(both, self._given("upto"))], self._named("upto", upto)
        if after is not None:
            bounds.append(sql.SQL("({}) > ({})").format(both, self._given("after")))
            values |= self._named("after", after)
        asked = sql.SQL("select q.*, {} from {} where {} order by {} limit {}").format(
            texts, self._query(), sql.SQL(" and ").join(bounds), both, sql.Literal(self._params.page_rows)
        )
        width = len(self._columns)
        return [(row[:width], list(row[width:])) for row in self._run(asked, values)]

    def wait(self, timeout_s: float) -> None:
        """See `Origin.wait`."""
        if self._channel is None:
            time.sleep(timeout_s)
            return
        assert self._connection is not None, "it is opened before"
        with told():
            for _ in self._connection.notifies(timeout=timeout_s, stop_after=1):
                pass

    def close(self) -> None:
        """See `Origin.close`."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _wait_for_writers(self) -> None:
        [(last,)] = self._run(sql.SQL("select pg_snapshot_xmax(pg_current_snapshot())::text"), {})
        ended = sql.SQL("select pg_snapshot_xmin(pg_current_snapshot()) >= {}::xid8").format(sql.Placeholder("last"))
        while not self._run(ended, {"last": last})[0][0]:
            time.sleep(_LOOK_S)

    def _describe(self, connection: Connection) -> None:
        described = connection.execute(sql.SQL("select * from {} limit 0").format(self._query()), {}).description or []
        self._columns = [one.name for one in described]
        oids = {one.name: one.type_code for one in described}
        if missing := [one for one in self._params.cursor if one not in oids]:
            raise RecordError(f"it has no column {missing[0]}", hint=f"it has: {', '.join(self._columns)[:200]}")
        names = [connection.execute("select format_type(%s, null)", [oids[one]]).fetchone() for one in self._params.cursor]
        self._types = [one[0] for one in names if one is not None]

    def _run(self, statement: sql.SQL | sql.Composed, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        assert self._connection is not None, "it is opened before"
        with told():
            return self._connection.execute(statement, values).fetchall()

    def _query(self) -> sql.Composable:
        return sql.SQL("({}) as q").format(sql.SQL(self._params.query.replace("%", "%%")))

    def _keys(self) -> list[sql.Composable]:
        return [sql.SQL("q.{}").format(sql.Identifier(one)) for one in self._params.cursor]

    def _given(self, name: str) -> sql.Composable:
        places = [sql.Placeholder(f"{name}{index}") + sql.SQL(f"::{kind}") for index, kind in enumerate(self._types)]
        return sql.SQL(", ").join(places)

    def _named(self, name: str, cursor: Cursor) -> dict[str, Any]:
        return {f"{name}{index}": value for index, value in enumerate(cursor)}
