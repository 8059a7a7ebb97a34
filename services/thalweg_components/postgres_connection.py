"""Connections to a PostgreSQL server; loads psycopg."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import conninfo

from thalweg import RecordError, RejectedError, Secret, UnreachableError

CONNECT_TIMEOUT_S, SILENCE_MS = 8, 30_000
Connection = psycopg.Connection[tuple[Any, ...]]
_NAMES = re.compile(r"(?<!:):(\w+)")
# A connection that is refused has no SQLSTATE in libpq, only its text; these pass by themselves.
_PASSING = ("starting up", "shutting down", "recovery", "not accepting", "not yet accepting", "too many", "connection slots")
_STANDBY = "25006"  # read_only_sql_transaction: the server is a standby, as after a failover


def parse_url(url: Secret) -> dict[str, Any]:
    """What a connection string says.

    Raises:
        RejectedError: `secret.invalid`, it is none. Its text is in no message.
    """
    try:
        return dict(conninfo.conninfo_to_dict(url.reveal()))
    except psycopg.Error:
        hint = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        raise RejectedError("the secret url is no connection string of PostgreSQL", code="secret.invalid", hint=hint) from None


def name_of(url: Secret, what: str) -> str:
    """Server, database and table, without credentials."""
    said = parse_url(url)
    return f"postgresql://{said.get('host', 'localhost')}:{said.get('port', 5432)}/{said.get('dbname', '')}/{what}"


def connect(url: Secret) -> Connection:
    """A connection in autocommit mode whose time zone is UTC. Blocking, up to `CONNECT_TIMEOUT_S` for each address of the server.

    Raises:
        UnreachableError: not now.
        RejectedError: `postgres.refused`, the server does not let in whoever this is.
    """
    said: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "tcp_user_timeout": SILENCE_MS,
        "application_name": "thalweg",
    } | parse_url(url)
    with told():
        try:
            opened = psycopg.connect(autocommit=True, **said)
        except psycopg.OperationalError as error:
            if "FATAL" in str(error) and not any(one in str(error) for one in _PASSING):
                raise RejectedError(_line(error), code="postgres.refused") from None
            raise
        opened.execute("set timezone = 'UTC'")
        return opened


@contextmanager
def told() -> Iterator[None]:
    """Around calls of psycopg: what it raises as what the caller does next.

    Raises:
        UnreachableError: try again on a new connection.
        RecordError: the server does not take what it was given.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise UnreachableError(_line(error), code="postgres.unreachable") from error
    except psycopg.Error as error:
        if error.sqlstate == _STANDBY:
            raise UnreachableError(_line(error), code="postgres.unreachable") from error
        raise RecordError(_line(error)) from error


def with_names(statement: str) -> LiteralString:
    """A statement with `:names` as psycopg spells them; for those of the code, never for text from outside."""
    return _NAMES.sub(r"%(\1)s", statement)


def _line(error: psycopg.Error) -> str:
    """The first line, and no detail: that may quote the row."""
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
