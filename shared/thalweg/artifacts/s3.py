"""The S3 client, with bounded waits and errors in our words; the only home of boto3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from thalweg.errors import RejectedError, ThalwegError, UnreachableError, UsageError

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig
    from botocore.exceptions import ClientError
    from mypy_boto3_s3.client import S3Client

_ABSENT = {"404", "NoSuchKey", "NotFound"}
_DENIED = {"403", "401", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden"}
_KEYS_HINT = "set THALWEG_S3_ACCESS_KEY and THALWEG_S3_SECRET_KEY to the keys of THALWEG_S3_ENDPOINT"


def connect(endpoint: str | None, access_key: str | None, secret_key: str | None, region: str = "us-east-1", attempts: int = 4) -> S3Client:
    """A client of one endpoint; makes no request. boto3 is loaded here, because most processes never need it.

    Raises:
        UsageError: `settings.invalid`, when the endpoint is no URL.
    """
    from botocore.config import Config

    from thalweg.artifacts.s3_model import session

    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        connect_timeout=5,
        read_timeout=60,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        # Servers other than Amazon's do not all know the trailing checksums that boto3 sends by default since 1.36.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        client: S3Client = session(access_key, secret_key, region).client("s3", endpoint_url=endpoint, config=config)
    except ValueError as error:
        raise UsageError(
            f"{endpoint!r} is not the URL of a file store",
            code="settings.invalid",
            hint="THALWEG_S3_ENDPOINT is like http://127.0.0.1:9000",
        ) from error
    return client


def copying_at_once() -> TransferConfig:
    """How to copy within the store: whole, up to what S3 lets one request copy; not every server copies parts."""
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_threshold=5 << 30, use_threads=False)


@contextmanager
def translated_errors(subject: str) -> Iterator[None]:
    """Turn boto3's errors about a subject into ours.

    Raises:
        UnreachableError: no answer, or the server's own fault (`store.unreachable`).
        RejectedError: absent (`artifact.unknown`), no such bucket (`store.no_bucket`) or open upload (`store.upload_gone`),
            or refused (`store.refused`).
        UsageError: denied (`store.denied`).
    """
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, IncompleteReadError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        raise _translate(subject, error) from error
    except NoCredentialsError as error:
        raise UsageError("the file store needs keys", code="store.denied", hint=_KEYS_HINT) from error
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise UnreachableError(f"file store: {error}", code="store.unreachable", subject=subject) from error
    except BotoCoreError as error:
        raise RejectedError(f"file store: {subject}: {error}", code="store.refused", subject=subject) from error


def _translate(subject: str, error: ClientError) -> ThalwegError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        return RejectedError(f"file store: no such bucket for {subject}", code="store.no_bucket", subject=subject)
    if code == "NoSuchUpload":
        return RejectedError(f"file store: the upload of {subject} is gone", code="store.upload_gone", subject=subject)
    if code in _ABSENT:
        return RejectedError(f"file store: {subject} is not there", code="artifact.unknown", subject=subject)
    if code in _DENIED or status in (401, 403):
        return UsageError(f"file store: access to {subject} is denied", code="store.denied", hint=_KEYS_HINT, subject=subject)
    if status >= 500 or status == 429:
        return UnreachableError(f"file store: {subject}: {error}", code="store.unreachable", subject=subject)
    return RejectedError(f"file store: {subject}: {error}", code="store.refused", subject=subject)
