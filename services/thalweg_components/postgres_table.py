"""Writes rows into a table of PostgreSQL, once each; loads psycopg."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg import sql

from thalweg import Place, RejectedError, Secret
from thalweg.graph.types import BOOL, BYTES, DURATION, FLOAT, INT, STR, TIMESTAMP, ImageType, ListOf, StreamType, format_type
from thalweg_components.delivered import TABLE, Delivered
from thalweg_components.postgres_connection import Connection, connect, name_of, told, with_names
from thalweg_components.sql_values import bare, to_column
from thalweg_components.table_rows import Column, TableParams

_COLUMNS = """
select a.attname, t.typname, t.typcategory, format_type(t.oid, null),
    a.attnotnull and not a.atthasdef and a.attidentity = '' and a.attgenerated = ''
from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = to_regclass(:table) and a.attnum > 0 and not a.attisdropped
"""
_NUMBERS = frozenset({"float4", "float8", "numeric"})
_TYPES: dict[StreamType, frozenset[str]] = {
    BOOL: frozenset({"bool"}),
    INT: _NUMBERS | {"int2", "int4", "int8"},
    FLOAT: _NUMBERS,
    BYTES: frozenset({"bytea"}),
    TIMESTAMP: frozenset({"timestamptz", "timestamp", "date"}),
    DURATION: frozenset({"interval"}),
}
_JSON = frozenset({"json", "jsonb"})
_NOT_FROM_TEXT = frozenset({"bool", "bytea", "int2", "int4", "int8", "float4", "float8"})


class PostgresTable:
    """A table as a target of rows; implements `Target`.

    Args:
        url: connection string.
        params: which table.
        columns: what is written.
        delivered: how far that is done.
    """

    def __init__(self, url: Secret, params: TableParams, columns: list[Column], delivered: Delivered) -> None:
        self.name = name_of(url, params.table)
        self._url, self._params, self._columns, self._delivered = url, params, columns, delivered
        self._table = sql.Identifier(*params.table.split("."))
        self._connection: Connection | None = None
        self._changes: list[Callable[[Any], Any]] = []

    def open(self) -> None:
        """See `Target.open`."""
        if self._connection is not None and not self._connection.closed:
            return
        connection = connect(self._url)
        try:
            with told(), connection.transaction():
                self._changes = self._check(connection)
                is_there = connection.execute("select to_regclass(%s) is not null", [TABLE]).fetchone() == (True,)
                self._delivered.claim(self._executing(connection), is_there=is_there)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def write(self, rows: list[Any], places: list[Place]) -> None:
        """See `Target.write`."""
        connection = self._connection
        assert connection is not None, "it is opened before"
        execute = self._executing(connection)
        with told(), connection.transaction():
            missing = self._delivered.missing(execute, places)
            if missing:
                self._put(connection, [rows[index] for index in missing])
                self._delivered.advance(execute, places)

    def close(self) -> None:
        """See `Target.close`."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _put(self, connection: Connection, rows: list[Any]) -> None:
        given = [[change(value) for change, value in zip(self._changes, row, strict=True)] for row in rows]
        names = sql.SQL(", ").join(sql.Identifier(one.name) for one in self._columns)
        with connection.cursor() as cursor:
            if not self._params.keys:
                with cursor.copy(sql.SQL("copy {} ({}) from stdin").format(self._table, names)) as copy:
                    for row in given:
                        copy.write_row(row)
            else:
                cursor.executemany(self._upsert(names), given)

    def _upsert(self, names: sql.Composed) -> sql.Composed:
        keys = sql.SQL(", ").join(map(sql.Identifier, self._params.keys))
        others = [sql.Identifier(one.name) for one in self._columns if one.name not in self._params.keys]
        replaced = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(one) for one in others)
        action = sql.SQL("do update set {}").format(replaced) if others else sql.SQL("do nothing")
        values = sql.SQL(", ").join([sql.Placeholder()] * len(self._columns))
        return sql.SQL("insert into {} ({}) values ({}) on conflict ({}) {}").format(self._table, names, values, keys, action)

    def _executing(self, connection: Connection) -> Callable[[str, dict[str, Any]], Any]:
        return lambda statement, values: connection.execute(with_names(statement), values)

    def _check(self, connection: Connection) -> list[Callable[[Any], Any]]:
        """How values go into the columns. Raises RejectedError where the table does not take them."""
        found = connection.execute(with_names(_COLUMNS), {"table": self._table.as_string(connection)}).fetchall()
        if not found:
            raise RejectedError(f"there is no table {self._params.table}", code="postgres.no_table")
        types = {name: (kind, category) for name, kind, category, *_ in found}
        shown = {name: text for name, _, _, text, _ in found}
        written = {one.name for one in self._columns}
        if left_out := [name for name, *_, is_needed in found if is_needed and name not in written]:
            hint = "give it a default, or name the field that goes there in columns"
            raise RejectedError(
                f"{self._params.table}.{left_out[0]} must not be null, and no field goes there", code="postgres.misfit", hint=hint
            )
        for one in self._columns:
            if one.name not in types:
                hint = f"it has: {', '.join(types)}"
                raise RejectedError(f"{self._params.table} has no column {one.name}", code="postgres.misfit", hint=hint)
            if not _takes(*types[one.name], one.kind):
                what = f"{self._params.table}.{one.name} is {shown[one.name]}, which does not take {format_type(one.kind)}"
                raise RejectedError(what, code="postgres.misfit", hint="cast@1.0.0 turns fields into other types")
        return [to_column(one.kind, as_json=types[one.name][0] in _JSON, arrays=True) for one in self._columns]


def _takes(name: str, category: str, kind: StreamType) -> bool:
    """Whether a column of a type takes values of a stream type."""
    kind = bare(kind)
    if name in _JSON:
        return True
    if isinstance(kind, ListOf):
        return category == "A" and _takes(name.removeprefix("_"), "", kind.item)
    if kind == STR:
        return name not in _NOT_FROM_TEXT and category != "A"
    return name in _TYPES.get(BYTES if isinstance(kind, ImageType) else kind, ())
