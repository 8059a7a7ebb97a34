"""Reads entries of streams and lists, and messages of channels, of a Redis server; loads redis-py."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from thalweg import RecordError, RejectedError, Secret, UnreachableError
from thalweg_components.backoff import Backoff
from thalweg_components.redis_connection import greet, make_client, name_of, told

WAIT_MS, PAGE = 1000, 500


class Entry(NamedTuple):
    """What was read: its id, its fields, and when it was written or, where nobody knows, read (UTC ns)."""

    id: str
    fields: dict[str, bytes]
    time_ns: int


class RedisEntries:
    """One key or channel, read for ever or to its end.

    Args:
        url: of the server.
        key: of the stream or list, or name of the channel.
        logger: is told of outages, and of entries that were trimmed before they were read.
    """

    def __init__(self, url: Secret, key: str, logger: logging.Logger) -> None:
        self._client: Any = make_client(url)
        self._key, self._logger = key, logger
        self._backoff = Backoff(logger, name_of(self._client, key))

    def stream(self, after: str | None, *, follow: bool) -> Iterator[Entry]:
        """Entries behind an id, exactly; without `follow`, up to the one that is the last now."""
        upto: str | None = None
        is_known = False
        while True:
            try:
                if not is_known:
                    self._greet()
                    upto = upto or self._last_id()
                    self._look_for_gap(after)
                    is_known = True
                if not follow and _number(after) >= _number(upto):
                    return
                with told():
                    found = self._client.xread({self._key: after or "0-0"}, count=PAGE, block=WAIT_MS if follow else None)
                self._backoff.worked()
            except UnreachableError as error:
                is_known = False
                time.sleep(self._backoff.failed(error))
                continue
            except RecordError as error:
                raise RejectedError(f"{self._key}: {error}", code="redis.refused") from error
            if not found and not follow:
                return  # what was the last one has been removed meanwhile
            for entry_id, fields in found[0][1] if found else ():
                after = entry_id.decode()
                if not follow and _number(after) > _number(upto):
                    return
                named = {name.decode(errors="replace"): value for name, value in fields.items()}
                yield Entry(after, named, int(after.split("-")[0]) * 1_000_000)

    def pops(self) -> Iterator[Entry]:
        """Items of a list as they are taken from it: what is taken and not committed before a kill is lost."""
        while True:
            try:
                with told():
                    found = self._client.blpop([self._key], timeout=WAIT_MS // 1000)
                self._backoff.worked()
            except UnreachableError as error:
                time.sleep(self._backoff.failed(error))
                continue
            except RecordError as error:
                raise RejectedError(f"{self._key}: {error}", code="redis.refused") from error
            if found is not None:
                yield Entry("", {"payload": found[1]}, time.time_ns())

    def messages(self) -> Iterator[Entry]:
        """Messages of a channel while it is listened to."""
        while True:
            try:
                self._greet()
                with told(), self._client.pubsub(ignore_subscribe_messages=True) as listening:
                    listening.subscribe(self._key)
                    self._backoff.worked()
                    while True:
                        found = listening.get_message(timeout=WAIT_MS / 1000)
                        if found is not None:
                            yield Entry("", {"payload": found["data"]}, time.time_ns())
            except UnreachableError as error:
                time.sleep(self._backoff.failed(error))

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _greet(self) -> None:
        greet(self._client)

    def _last_id(self) -> str:
        with told():
            found = self._client.xrevrange(self._key, count=1)
        return found[0][0].decode() if found else "0-0"

    def _look_for_gap(self, after: str | None) -> None:
        """Says so when entries behind the cursor may be gone: its own is, and trimming takes the oldest first."""
        if after is None:
            return
        with told():
            is_there = self._client.xrange(self._key, min=after, max=after)
        if not is_there:
            self._logger.warning(
                "%s: entry %s is no longer there; some behind it may have been removed before they were read", self._key, after
            )


def _number(entry_id: str | None) -> tuple[int, int]:
    """The id as Redis orders it."""
    first, _, second = (entry_id or "0-0").partition("-")
    return int(first), int(second or 0)
