"""Connections to the databases that SQLAlchemy knows; loads SQLAlchemy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import exc
from sqlalchemy.pool import NullPool

from thalweg import RecordError, RejectedError, Secret, UnreachableError

CONNECT_TIMEOUT_S = 8
_REFUSED = ("password authentication failed", "Access denied", "no pg_hba.conf entry", "does not exist", "unable to open database file")
_TIMEOUTS = {"psycopg": "connect_timeout", "psycopg2": "connect_timeout", "pymysql": "connect_timeout", "pysqlite": "timeout"}


def make_engine(url: Secret) -> sqlalchemy.Engine:
    """An engine that keeps no connections of its own; connects to nothing yet.

    Raises:
        RejectedError: `secret.invalid`, the secret is no URL of SQLAlchemy; `component.no_library`, its driver is not installed.
    """
    try:
        said = sqlalchemy.make_url(url.reveal())
        driver = said.get_dialect().driver
        timeout = {_TIMEOUTS[driver]: CONNECT_TIMEOUT_S} if driver in _TIMEOUTS else {}
        return sqlalchemy.create_engine(said, poolclass=NullPool, connect_args=timeout)
    except ModuleNotFoundError as error:
        raise RejectedError(f"the library {error.name} is not installed", code="component.no_library", hint="install the driver") from None
    except (exc.ArgumentError, exc.NoSuchModuleError, ValueError, TypeError):
        hint = "DIALECT+DRIVER://USER:PASSWORD@HOST:PORT/DATABASE, as SQLAlchemy has it"
        raise RejectedError("the secret url is no database URL", code="secret.invalid", hint=hint) from None


def name_of(engine: sqlalchemy.Engine, what: str) -> str:
    """Server, database and table, without credentials."""
    url = engine.url
    where = f"{url.host}:{url.port}" if url.port else url.host or ""
    return f"{engine.dialect.name}://{where}/{(url.database or '').lstrip('/')}/{what}".rstrip("/")


def connect(engine: sqlalchemy.Engine) -> sqlalchemy.Connection:
    """A connection.

    Raises:
        UnreachableError: not now.
        RejectedError: `sql.refused`, it does not let in whoever this is.
    """
    with told():
        try:
            return engine.connect()
        except exc.DBAPIError as error:
            if any(one in str(error.orig) for one in _REFUSED):
                raise RejectedError(_line(error), code="sql.refused") from None
            raise


@contextmanager
def told() -> Iterator[None]:
    """Around calls of SQLAlchemy: what it raises as what the caller does next.

    Raises:
        UnreachableError: try again on a new connection.
        RecordError: the database does not take what it was given.
    """
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError) as error:
        raise UnreachableError(_line(error), code="sql.unreachable") from error
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise UnreachableError(_line(error), code="sql.unreachable") from error
        raise RecordError(_line(error)) from error
    except exc.SQLAlchemyError as error:
        raise RecordError(str(error).split("\n", 1)[0]) from error


def executing(connection: sqlalchemy.Connection) -> Callable[[str, dict[str, Any]], Any]:
    """Runs statements with `:names`."""
    return lambda statement, values: connection.execute(sqlalchemy.text(statement), values)


def _line(error: exc.DBAPIError) -> str:
    """What the driver says, in one line: SQLAlchemy's own text has the values in it."""
    return str(error.orig).strip().split("\n", 1)[0] or type(error.orig).__name__
