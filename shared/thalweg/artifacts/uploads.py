"""Uploads in parts that go on where an earlier one, of this process or of a killed one, has stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO

from thalweg.artifacts.digests import Artifact, HashingSink, blocks_of
from thalweg.artifacts.s3 import translated_errors
from thalweg.errors import RejectedError, UnreachableError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, MultipartUploadTypeDef

Progress = Callable[[int, int], None]
"""Called with bytes stored so far and in all, from the thread that uploads; starts anew when an upload is retried."""

PART_BYTES = 16 << 20
_MAX_PARTS = 10_000  # of S3, in one upload
_NO_UPLOADS = {"NoSuchUpload", "NotImplemented", "MethodNotAllowed"}  # the first is what rclone says where there are none


class PartsUpload:
    """One attempt to store a large artifact. What the server has of it already is not sent again.

    The parts of an artifact are always cut alike, so that any open upload under its key, whoever began it, can be
    carried on; two that do so at once send the same. A server that keeps no parts over its restart (rclone) says that
    the upload is gone, and the next attempt begins a new one.

    Args:
        s3: the client.
        bucket: of the store.
        key: of the artifact.
        artifact: what is uploaded.
    """

    def __init__(self, s3: S3Client, bucket: str, key: str, artifact: Artifact) -> None:
        self._s3, self._bucket, self._key, self._artifact = s3, bucket, key, artifact

    def send(self, stream: BinaryIO, progress: Progress) -> None:
        """Send what is missing and complete the upload; an upload that is cut short stays open, to be carried on.

        Raises:
            RejectedError: the file is another by now (`artifact.changed`; the upload is aborted), or the server has lost the
                upload (`store.upload_gone`): try again.
            UnreachableError: no answer from the store: try again.
        """
        with translated_errors(self._artifact.id):
            mine, *others = self._open_uploads() or [self._s3.create_multipart_upload(Bucket=self._bucket, Key=self._key)["UploadId"]]
            parts = self._send_parts(stream, mine, progress)
            self._s3.complete_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=mine, MultipartUpload={"Parts": parts})
        for other in others:
            self._abort(other)

    def _open_uploads(self) -> list[str]:
        """Ids of the open uploads under the key, the oldest first, so that all who come choose the same."""
        found = [one for one in uploads_under(self._s3, self._bucket, self._key) if one["Key"] == self._key]
        return [one["UploadId"] for one in sorted(found, key=lambda one: (one["Initiated"], one["UploadId"]))]

    def _send_parts(self, stream: BinaryIO, upload: str, progress: Progress) -> list[CompletedPartTypeDef]:
        """Hash again what is sent, so that a file that changes meanwhile is never stored under its old digest."""
        there, sink = self._stored_parts(upload), HashingSink()
        parts: list[CompletedPartTypeDef] = []
        for number, block in enumerate(blocks_of(stream, part_bytes(self._artifact.size_bytes)), 1):
            sink.write(block)
            if sink.size_bytes > self._artifact.size_bytes:
                break
            tag = there.get((number, hashlib.md5(block, usedforsecurity=False).hexdigest(), len(block)))
            if tag is None:
                tag = self._s3.upload_part(Bucket=self._bucket, Key=self._key, UploadId=upload, PartNumber=number, Body=block)["ETag"]
            parts.append({"PartNumber": number, "ETag": tag})
            progress(sink.size_bytes, self._artifact.size_bytes)
        if sink.artifact() != self._artifact:
            self._abort(upload)
            raise RejectedError("the file was changed while it was being stored", code="artifact.changed")
        return parts

    def _stored_parts(self, upload: str) -> dict[tuple[int, str, int], str]:
        """ETags by number, MD5 and size. Where a server's ETag is no MD5, nothing will match and everything is sent."""
        pages = self._s3.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=self._key, UploadId=upload)
        parts = [part for page in pages for part in page.get("Parts", [])]
        return {(part["PartNumber"], part["ETag"].strip('"').lower(), part["Size"]): part["ETag"] for part in parts}

    def _abort(self, upload: str) -> None:
        with suppress(RejectedError, UnreachableError):  # gone already, or left for `abort_stale`
            abort_upload(self._s3, self._bucket, self._key, upload)


def part_bytes(size_bytes: int) -> int:
    """How large the parts of an upload are; depends on nothing but its size."""
    return max(PART_BYTES, -(-size_bytes // _MAX_PARTS))


def abort_upload(s3: S3Client, bucket: str, key: str, upload: str) -> None:
    """Give up an open upload and what was sent of it."""
    with translated_errors(key):
        s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)


def abort_stale(s3: S3Client, bucket: str, prefix: str, older_than: timedelta) -> int:
    """Give up the uploads under a prefix that were begun longer ago; how many there were."""
    limit, count = datetime.now(UTC) - older_than, 0
    with translated_errors(prefix):
        for one in uploads_under(s3, bucket, prefix):
            if one["Initiated"] < limit:
                abort_upload(s3, bucket, one["Key"], one["UploadId"])
                count += 1
    return count


def uploads_under(s3: S3Client, bucket: str, prefix: str) -> Iterator[MultipartUploadTypeDef]:
    """Open uploads whose keys start with a prefix; none where a server cannot tell."""
    try:
        for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
            yield from page.get("Uploads", [])
    except s3.exceptions.ClientError as error:
        if error.response.get("Error", {}).get("Code") not in _NO_UPLOADS:
            raise
