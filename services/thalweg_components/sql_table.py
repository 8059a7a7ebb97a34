"""Writes rows into a table of any database that SQLAlchemy knows, once each; loads SQLAlchemy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import exc, types
from sqlalchemy.dialects import mysql, postgresql, sqlite

from thalweg import Place, RejectedError, Secret
from thalweg.graph.types import BOOL, BYTES, DURATION, FLOAT, INT, STR, TIMESTAMP, ImageType, StreamType, format_type
from thalweg_components.delivered import TABLE, Delivered
from thalweg_components.sql_connection import connect, executing, make_engine, name_of, told
from thalweg_components.sql_values import bare, is_scalar, to_column
from thalweg_components.table_rows import Column, TableParams

Change = Callable[[Any], Any]
_FRACTIONS = (types.Numeric, types.Float)
_NUMBERS = (*_FRACTIONS, types.Integer)
_TYPES: dict[StreamType, tuple[type[Any], ...]] = {
    BOOL: (types.Boolean, types.Integer),
    INT: _NUMBERS,
    FLOAT: _FRACTIONS,
    STR: (types.String,),
    BYTES: (types.LargeBinary,),
    TIMESTAMP: (types.DateTime, types.String),
    DURATION: (types.Interval, *_FRACTIONS),
}


class SqlTable:
    """A table as a target of rows; implements `Target`.

    Args:
        url: of the database, as SQLAlchemy has it.
        params: which table.
        columns: what is written.
        delivered: how far that is done.
    """

    def __init__(self, url: Secret, params: TableParams, columns: list[Column], delivered: Delivered) -> None:
        self._engine = make_engine(url)
        self.name = name_of(self._engine, params.table)
        self._params, self._columns, self._delivered = params, columns, delivered
        self._connection: sqlalchemy.Connection | None = None
        self._changes: list[Change] = []
        self._put: Any = None

    def open(self) -> None:
        """See `Target.open`."""
        if self._connection is not None and not self._connection.invalidated:
            return
        connection = connect(self._engine)
        try:
            with told():
                table = self._look_up(connection)
                self._changes = [self._change(table, one) for one in self._columns]
                self._put = self._statement(table)
                is_there = sqlalchemy.inspect(connection).has_table(TABLE)
                connection.rollback()
            with told(), connection.begin():
                self._delivered.claim(executing(connection), is_there=is_there)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def write(self, rows: list[Any], places: list[Place]) -> None:
        """See `Target.write`."""
        connection = self._connection
        assert connection is not None, "it is opened before"
        execute = executing(connection)
        with told(), connection.begin():
            missing = self._delivered.missing(execute, places)
            if missing:
                connection.execute(self._put, [self._given(rows[index]) for index in missing])
                self._delivered.advance(execute, places)

    def close(self) -> None:
        """See `Target.close`."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _given(self, row: tuple[Any, ...]) -> dict[str, Any]:
        values = zip(self._columns, self._changes, row, strict=True)
        return {f"c{index}": change(value) for index, (_, change, value) in enumerate(values)}

    def _look_up(self, connection: sqlalchemy.Connection) -> sqlalchemy.Table:
        *schema, name = self._params.table.split(".")
        try:
            table = sqlalchemy.Table(
                name, sqlalchemy.MetaData(), schema=schema[0] if schema else None, autoload_with=connection, resolve_fks=False
            )
        except exc.NoSuchTableError:
            raise RejectedError(f"there is no table {self._params.table}", code="sql.no_table") from None
        written = {one.name for one in self._columns}
        for column in table.columns:
            if not (column.nullable or column.server_default is not None or column.autoincrement is True or column.name in written):
                if column.primary_key and isinstance(column.type, types.Integer):
                    continue  # numbered by the database
                hint = "give it a default, or name the field that goes there in columns"
                raise RejectedError(f"{self.name}.{column.name} must not be null, and no field goes there", code="sql.misfit", hint=hint)
        return table

    def _change(self, table: sqlalchemy.Table, column: Column) -> Change:
        """How values go into a column. Raises RejectedError where it does not take them."""
        held = table.columns.get(column.name)
        if held is None:
            hint = f"it has: {', '.join(table.columns.keys())}"
            raise RejectedError(f"{self._params.table} has no column {column.name}", code="sql.misfit", hint=hint)
        kind = bare(column.kind)
        if isinstance(held.type, types.JSON):
            held.type.none_as_null = True
            return msgspec.to_builtins  # SQLAlchemy writes the JSON
        if not is_scalar(kind):
            if not isinstance(held.type, types.String):
                self._refuse(held, column.kind)
            return to_column(kind, as_json=True, arrays=False)
        if not isinstance(held.type, _TYPES[BYTES if isinstance(kind, ImageType) else kind]):
            self._refuse(held, column.kind)
        if kind == TIMESTAMP:
            return _moment_for(held.type)
        if kind == DURATION and not isinstance(held.type, types.Interval):
            return lambda value: None if value is None else value.total_seconds()
        return to_column(kind, as_json=False, arrays=False)

    def _refuse(self, held: sqlalchemy.Column[Any], kind: StreamType) -> None:
        what = f"{self._params.table}.{held.name} is {held.type}, which does not take {format_type(kind)}"
        raise RejectedError(what, code="sql.misfit", hint="cast@1.0.0 turns fields into other types")

    def _statement(self, table: sqlalchemy.Table) -> Any:
        """Adds rows, or replaces those with the same keys where the database can."""
        values: dict[str, Any] = {one.name: sqlalchemy.bindparam(f"c{index}") for index, one in enumerate(self._columns)}
        if not self._params.keys:
            return sqlalchemy.insert(table).values(values)
        others = [one.name for one in self._columns if one.name not in self._params.keys]
        dialect = self._engine.dialect.name
        if dialect in ("mysql", "mariadb"):
            added = mysql.insert(table).values(values)
            return added.on_duplicate_key_update({name: added.inserted[name] for name in others or self._params.keys})
        if dialect not in ("postgresql", "sqlite"):
            raise RejectedError(f"keys: rows of {dialect} cannot be replaced", code="params.invalid", hint="leave keys out")
        put = (postgresql if dialect == "postgresql" else sqlite).insert(table).values(values)
        if not others:
            return put.on_conflict_do_nothing(index_elements=self._params.keys)
        return put.on_conflict_do_update(index_elements=self._params.keys, set_={name: put.excluded[name] for name in others})


def _moment_for(kind: Any) -> Change:
    """Text where the column is text; without a zone, as UTC, where the column has none."""
    if isinstance(kind, types.String):
        return lambda value: None if value is None else value.isoformat()
    if getattr(kind, "timezone", False):
        return lambda value: value
    return lambda value: None if value is None else value.astimezone(dt.UTC).replace(tzinfo=None)
