"""The store of a workspace's artifacts: files and directories named by what they hold."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from thalweg.artifacts.digests import Artifact, HashingSink, blocks_of, digest_of, hex_of
from thalweg.artifacts.directories import extract_tar, is_directory_tar, write_tar
from thalweg.artifacts.s3 import connect, translated_errors
from thalweg.errors import RejectedError, UnreachableError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

Progress = Callable[[int, int], None]
"""Called with bytes sent so far and in all, from the thread that uploads."""

_PART_BYTES = 16 << 20
_MAX_PARTS = 10_000  # of S3, in one upload


class Store:
    """Content-addressed files and directories of one workspace, with a local cache.

    Every method blocks: call it in a thread. Threads may share a store. Nothing is ever overwritten by something else,
    so every method may be repeated. Constructing makes no request.

    Args:
        endpoint: URL of the S3 server; None for boto3's own lookup.
        bucket: see `ensure_bucket`.
        access_key: key id, or None for boto3's own lookup.
        secret_key: its secret.
        workspace: prefix of all keys.
        cache_dir: local folder that processes may share; made when needed.
    """

    def __init__(
        self,
        endpoint: str | None,
        bucket: str,
        access_key: str | None,
        secret_key: str | None,
        workspace: str,
        cache_dir: Path,
    ) -> None:
        self._endpoint, self._bucket = endpoint, bucket
        self._access_key, self._secret_key = access_key, secret_key
        self._workspace, self._cache_dir = workspace, cache_dir

    @cached_property
    def _s3(self) -> S3Client:
        return connect(self._endpoint, self._access_key, self._secret_key)

    def key_of(self, artifact_id: str) -> str:
        """Key of an artifact in the bucket."""
        return f"{self._workspace}/artifacts/{hex_of(artifact_id)}"

    def ensure_bucket(self) -> None:
        """Make the bucket unless it is there.

        Raises:
            UnreachableError, RejectedError: see `thalweg.artifacts.s3.translated_errors`.
        """
        with translated_errors(f"bucket {self._bucket}"):
            try:
                self._s3.create_bucket(Bucket=self._bucket)
            except (self._s3.exceptions.BucketAlreadyOwnedByYou, self._s3.exceptions.BucketAlreadyExists):
                pass
            except self._s3.exceptions.ClientError:
                # Keys that may not make buckets are fine where it has been made for them.
                self._s3.head_bucket(Bucket=self._bucket)

    def exists(self, artifact_id: str) -> bool:
        """Whether an artifact is stored."""
        return self._stored_size(artifact_id) is not None

    def put_file(self, path: Path, progress: Progress | None = None) -> Artifact:
        """Store a file, unless the same bytes are there already.

        Args:
            path: a regular file, read twice when it is large, in bounded memory.
            progress: told as the upload goes on; once, as complete, where nothing needs to be sent.

        Raises:
            RejectedError: not a readable file (`artifact.not_storable`), or changed while it was read (`artifact.changed`).
            UnreachableError: no answer from the store.
        """
        try:
            with path.open("rb") as stream:
                artifact = digest_of(path)
                self._put(stream, artifact, progress or (lambda sent, total: None))
        except OSError as error:
            raise RejectedError(f"{path}: {error.strerror or error}", code="artifact.not_storable", path=str(path)) from error
        return artifact

    def put_directory(self, path: Path, progress: Progress | None = None) -> Artifact:
        """Store a directory as its canonical tar; needs as much free disk in the cache folder.

        Raises:
            RejectedError: as `put_file`; also a symbolic link or a special file within it (`artifact.not_storable`).
            UnreachableError: no answer from the store.
        """
        if not path.is_dir():
            raise RejectedError(f"{path}: not a directory", code="artifact.not_storable", path=str(path))
        with self._scratch() as scratch:
            packed = scratch / "packed.tar"
            try:
                with packed.open("wb") as stream:
                    write_tar(path, stream)
            except OSError as error:
                raise RejectedError(f"{path}: {error}", code="artifact.not_storable", path=str(path)) from error
            return self.put_file(packed, progress)

    def fetch(self, artifact_id: str, name: str) -> Path:
        """A local copy of an artifact, a file or a directory, under a name of the caller's choice; read-only by agreement.

        A copy in the cache is checked against its digest every time, and replaced when it was changed.

        Args:
            artifact_id: `sha256:…`.
            name: last part of the returned path.

        Raises:
            RejectedError: unknown (`artifact.unknown`), or the store gave other bytes (`artifact.corrupt`).
            UnreachableError: no answer from the store.
        """
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise RejectedError(f"not a file name: {name!r}", code="artifact.bad_name")
        target = self._cache_dir / hex_of(artifact_id) / name
        if target.exists():
            if _holds(target, artifact_id):
                return target
            _remove(target)
        with self._scratch() as scratch:
            self._move(self._download(artifact_id, scratch), target, artifact_id)
        return target

    def _put(self, stream: BinaryIO, artifact: Artifact, progress: Progress) -> None:
        # Another size is what a server killed in the middle of a write may have left: send it again.
        if self._stored_size(artifact.id) == artifact.size_bytes:
            progress(artifact.size_bytes, artifact.size_bytes)
        elif artifact.size_bytes <= _PART_BYTES:
            self._put_at_once(stream, artifact, progress)
        else:
            self._put_in_parts(stream, artifact, progress)

    def _put_at_once(self, stream: BinaryIO, artifact: Artifact, progress: Progress) -> None:
        data = stream.read(artifact.size_bytes + 1)
        sink = HashingSink()
        sink.write(data)
        _check_unchanged(sink, artifact)
        with translated_errors(artifact.id):
            self._s3.put_object(Bucket=self._bucket, Key=self.key_of(artifact.id), Body=data)
        progress(artifact.size_bytes, artifact.size_bytes)

    def _put_in_parts(self, stream: BinaryIO, artifact: Artifact, progress: Progress) -> None:
        """Hash again what is sent, so that a file that changes meanwhile is never stored under its old digest."""
        key = self.key_of(artifact.id)
        with translated_errors(artifact.id):
            upload = self._s3.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"]
            try:
                parts = self._send_parts(stream, artifact, upload, progress)
                self._s3.complete_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
            except BaseException:
                self._abort(key, upload)
                raise

    def _send_parts(self, stream: BinaryIO, artifact: Artifact, upload: str, progress: Progress) -> list[CompletedPartTypeDef]:
        key, sink = self.key_of(artifact.id), HashingSink()
        parts: list[CompletedPartTypeDef] = []
        for block in blocks_of(stream, max(_PART_BYTES, -(-artifact.size_bytes // _MAX_PARTS))):
            number = len(parts) + 1
            sink.write(block)
            if sink.size_bytes > artifact.size_bytes:
                break
            sent = self._s3.upload_part(Bucket=self._bucket, Key=key, UploadId=upload, PartNumber=number, Body=block)
            parts.append({"PartNumber": number, "ETag": sent["ETag"]})
            progress(sink.size_bytes, artifact.size_bytes)
        _check_unchanged(sink, artifact)
        return parts

    def _abort(self, key: str, upload: str) -> None:
        try:
            with translated_errors(key):
                self._s3.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
        except (RejectedError, UnreachableError):
            pass  # the error that led here says more

    def _stored_size(self, artifact_id: str) -> int | None:
        try:
            with translated_errors(artifact_id):
                return self._s3.head_object(Bucket=self._bucket, Key=self.key_of(artifact_id))["ContentLength"]
        except RejectedError as error:
            if error.code == "artifact.unknown":
                return None
            raise

    def _download(self, artifact_id: str, scratch: Path) -> Path:
        path, sink = scratch / "download", HashingSink()
        with path.open("wb") as file, translated_errors(artifact_id):
            body = self._s3.get_object(Bucket=self._bucket, Key=self.key_of(artifact_id))["Body"]
            for block in body.iter_chunks(1 << 20):
                sink.write(block)
                file.write(block)
        if sink.artifact().id != artifact_id:
            raise RejectedError(f"{artifact_id}: the store gave other bytes", code="artifact.corrupt", size_bytes=sink.size_bytes)
        if not is_directory_tar(path):
            return path
        extract_tar(path, scratch / "unpacked")
        return scratch / "unpacked"

    def _move(self, source: Path, target: Path, artifact_id: str) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(source, target)
        except OSError:
            # A directory cannot replace one that another process has put there meanwhile; it holds the same.
            if not target.is_dir() or not _holds(target, artifact_id):
                raise

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=self._cache_dir) as folder:
            yield Path(folder)


def _check_unchanged(sink: HashingSink, artifact: Artifact) -> None:
    if sink.artifact() != artifact:
        raise RejectedError("the file was changed while it was being stored", code="artifact.changed")


def _holds(path: Path, artifact_id: str) -> bool:
    try:
        return digest_of(path).id == artifact_id
    except RejectedError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
