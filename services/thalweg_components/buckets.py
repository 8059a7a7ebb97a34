"""S3 buckets outside: their params, and requests that are made again while the server is away."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import RejectedError, Secret, ThalwegError, UnreachableError
from thalweg_components.backoff import Backoff
from thalweg_components.extras import needs

T = TypeVar("T")
_PIECE_BYTES = 1 << 20


class BucketParams(BaseModel):
    """Which bucket."""

    model_config = ConfigDict(extra="forbid")

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="name of the bucket, which must exist")
    endpoint: str | None = Field(None, pattern=r"^https?://[^/@\s]+/?$", description="URL of the S3 server; without it, Amazon's")
    region: str = Field("us-east-1", pattern=r"^[a-z0-9-]{1,32}$", description="of the bucket")


class Found(NamedTuple):
    """An object of a listing."""

    key: str
    size_bytes: int
    modified: dt.datetime


class Bucket:
    """One bucket, as a component reads or writes it. The keys are those of secrets, else those that the process has.

    Args:
        params: which one.
        access_key, secret_key: as they are bound.
        logger: is told of outages.
        attempts: of one request, before it counts as failed.
    """

    def __init__(
        self, params: BucketParams, access_key: Secret | None, secret_key: Secret | None, logger: logging.Logger, attempts: int = 4
    ) -> None:
        if (access_key is None) != (secret_key is None):
            hint = "secrets: {access_key: NAME, secret_key: NAME}"
            raise RejectedError("access_key and secret_key go together", code="secret.unbound", hint=hint)
        with needs("store"):
            from thalweg.artifacts.s3 import connect, translated_errors
        self._name, self._translated = params.bucket, translated_errors
        keys = [None if one is None else one.reveal() for one in (access_key, secret_key)]
        self._client: Any = connect(params.endpoint, keys[0], keys[1], params.region, attempts)
        self._backoff = Backoff(logger, self.url(""))

    def url(self, key: str) -> str:
        """An object as people name it."""
        return f"s3://{self._name}/{key}"

    def put(self, key: str, content: bytes, content_type: str, give_up_after_s: float | None) -> int:
        """Stores an object in place of the one of that name; how often it was tried.

        Raises:
            UnreachableError: the server has not answered for so long; without a limit, it is tried for ever.
            RejectedError: the server refuses.
        """
        attempts = 0

        def send() -> None:
            nonlocal attempts
            attempts += 1
            self._client.put_object(Bucket=self._name, Key=key, Body=content, ContentType=content_type)

        self._patiently(key, send, give_up_after_s)
        return attempts

    def keys(self, prefix: str, after: str) -> Iterator[Found]:
        """Objects behind a key, in the order of their keys. Raises RejectedError."""
        while True:
            asked = {"Bucket": self._name, "Prefix": prefix, "StartAfter": after}
            page = self._patiently(prefix, lambda asked=asked: self._client.list_objects_v2(**asked))  # type: ignore[misc]
            for one in page.get("Contents", []):
                after = one["Key"]
                yield Found(after, one["Size"], one["LastModified"])
            if not page.get("IsTruncated"):
                return

    def download(self, key: str, path: Path) -> bool:
        """Copies an object into a file; whether it is there. Raises RejectedError."""

        def fetch() -> None:
            body = self._client.get_object(Bucket=self._name, Key=key)["Body"]
            with body, path.open("wb") as file:
                for piece in body.iter_chunks(_PIECE_BYTES):
                    file.write(piece)

        try:
            self._patiently(key, fetch)
        except RejectedError as error:
            if error.code == "artifact.unknown":
                return False
            raise
        return True

    def probe(self) -> None:
        """Lists one object. Raises UnreachableError, RejectedError."""
        self._once("", lambda: self._client.list_objects_v2(Bucket=self._name, MaxKeys=1))

    def _patiently(self, key: str, call: Callable[[], T], give_up_after_s: float | None = None) -> T:
        deadline = None if give_up_after_s is None else time.monotonic() + give_up_after_s
        while True:
            try:
                found = self._once(key, call)
            except UnreachableError as error:
                pause_s = self._backoff.failed(error)
                if deadline is not None and time.monotonic() + pause_s > deadline:
                    raise
                time.sleep(pause_s)
            else:
                self._backoff.worked()
                return found

    def _once(self, key: str, call: Callable[[], T]) -> T:
        try:
            with self._translated(self.url(key)):
                return call()
        except UnreachableError:
            raise
        except ThalwegError as error:
            hint = "check bucket, endpoint, and the secrets access_key and secret_key"
            raise RejectedError(str(error).removeprefix("file store: "), code=error.code, hint=hint) from None
