"""Connections to a Redis or Valkey server; loads redis-py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from thalweg import RecordError, RejectedError, Secret, UnreachableError

CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 8.0, 30.0
_PASSING = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.BusyLoadingError,
    redis.ReadOnlyError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
    redis.exceptions.OutOfMemoryError,
)


def make_client(url: Secret) -> redis.Redis:
    """A client with one connection, not opened yet; it does not try again by itself, as that could do a thing twice.

    Raises:
        RejectedError: `secret.invalid`, the secret is no URL of Redis.
    """
    options: dict[str, Any] = {"socket_connect_timeout": CONNECT_TIMEOUT_S, "socket_timeout": ANSWER_TIMEOUT_S, "socket_keepalive": True}
    try:
        return redis.Redis.from_url(url.reveal(), retry=Retry(NoBackoff(), 0), client_name="thalweg", **options)
    except (ValueError, TypeError):
        hint = "redis://USER:PASSWORD@HOST:PORT/NUMBER, or rediss://… for TLS"
        raise RejectedError("the secret url is no Redis URL", code="secret.invalid", hint=hint) from None


def name_of(client: redis.Redis, what: str) -> str:
    """Server, database and key, without credentials."""
    said = client.connection_pool.connection_kwargs
    where = said.get("path") or f"{said.get('host', 'localhost')}:{said.get('port', 6379)}"
    return f"redis://{where}/{said.get('db', 0)}/{what}"


def greet(client: redis.Redis) -> None:
    """Connects.

    Raises:
        UnreachableError: not now.
        RejectedError: `redis.refused`, it does not let in whoever this is.
    """
    with told():
        try:
            client.ping()
        except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
            raise RejectedError(str(error), code="redis.refused") from None
        except redis.ResponseError as error:
            if "NOAUTH" in str(error) or "Authentication required" in str(error):
                raise RejectedError(str(error), code="redis.refused") from None
            raise


@contextmanager
def told() -> Iterator[None]:
    """Around calls of redis-py: what it raises as what the caller does next.

    Raises:
        UnreachableError: try again.
        RecordError: the server does not take what it was given.
    """
    try:
        yield
    except redis.AuthenticationError:  # a kind of ConnectionError there
        raise
    except _PASSING as error:
        raise UnreachableError(str(error) or type(error).__name__, code="redis.unreachable") from error
    except redis.RedisError as error:
        raise RecordError(str(error)) from error
