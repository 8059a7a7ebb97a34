"""The store of a workspace's artifacts: files and directories named by what they hold."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from thalweg.artifacts.digests import Artifact, HashingSink, digest_of, hex_of
from thalweg.artifacts.directories import extract_tar, is_directory_tar, write_tar
from thalweg.artifacts.records import is_file_name
from thalweg.artifacts.retry import Patience
from thalweg.artifacts.s3 import connect, copying_at_once, translated_errors
from thalweg.artifacts.uploads import PART_BYTES, PartsUpload, Progress, abort_stale
from thalweg.errors import RejectedError
from thalweg.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_PATIENCE_S = 60.0  # SeaweedFS was seen to need 25 s from its death to its first write


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
        patience_s: how long puts and fetches go on trying without progress while the store cannot be reached.
        lease: what is put belongs to it, apart from the workspace's, which is seen too; "" for the workspace.
    """

    def __init__(
        self,
        endpoint: str | None,
        bucket: str,
        access_key: str | None,
        secret_key: str | None,
        workspace: str,
        cache_dir: Path,
        patience_s: float = _PATIENCE_S,
        lease: str = "",
    ) -> None:
        self._endpoint, self._bucket = endpoint, bucket
        self._access_key, self._secret_key = access_key, secret_key
        self._workspace, self._cache_dir, self._patience_s = workspace, cache_dir, patience_s
        self.lease = lease

    @classmethod
    def of(cls, settings: Settings, lease: str = "") -> Self:
        """The file store that settings name, its cache in their data folder."""
        keys = settings.s3_access_key, settings.s3_secret_key
        return cls(settings.s3_endpoint, settings.s3_bucket, *keys, settings.workspace, settings.data / "cache", lease=lease)

    def of_lease(self, lease: str) -> Self:
        """The same store as a lease sees it."""
        keys = self._access_key, self._secret_key
        same = type(self)(self._endpoint, self._bucket, *keys, self._workspace, self._cache_dir, self._patience_s, lease)
        same.__dict__["_s3"] = self._s3
        return same

    @cached_property
    def _s3(self) -> S3Client:
        return connect(self._endpoint, self._access_key, self._secret_key)

    def key_of(self, artifact_id: str) -> str:
        """Key in the bucket that an artifact is put under."""
        return self._prefix(self.lease) + hex_of(artifact_id)

    def _prefix(self, lease: str) -> str:
        return f"{self._workspace}/leases/{lease}/" if lease else f"{self._workspace}/artifacts/"

    def _find(self, artifact_id: str) -> tuple[str, int] | None:
        """Key and bytes of an artifact as stored, the workspace's before the lease's; None when it is not."""
        for lease in dict.fromkeys(("", self.lease)):
            key = self._prefix(lease) + hex_of(artifact_id)
            try:
                with translated_errors(artifact_id):
                    return key, self._s3.head_object(Bucket=self._bucket, Key=key)["ContentLength"]
            except RejectedError as error:
                if error.code != "artifact.unknown":
                    raise
        return None

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
        return self.stored_size(artifact_id) is not None

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact that was put here, and its copies in the cache; harmless when it is gone. Who needs it must be known before.

        Raises:
            UnreachableError, RejectedError: see `thalweg.artifacts.s3.translated_errors`.
        """
        with translated_errors(artifact_id):
            self._s3.delete_object(Bucket=self._bucket, Key=self.key_of(artifact_id))
        shutil.rmtree(self._cache_dir / hex_of(artifact_id), ignore_errors=True)

    def put_file(self, path: Path, progress: Progress | None = None) -> Artifact:
        """Store a file, unless the same bytes are there already.

        A large file goes in parts; those that a killed or failed put has stored are not sent again.

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
                self._put(stream, artifact, progress)
        except OSError as error:
            raise RejectedError(f"{path}: {error.strerror or error}", code="artifact.not_storable", path=str(path)) from error
        return artifact

    def put_bytes(self, body: bytes) -> Artifact:
        """Store a few bytes; raises as `put_file`."""
        with self._scratch() as scratch:
            (scratch / "bytes").write_bytes(body)
            return self.put_file(scratch / "bytes")

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
        if not is_file_name(name):
            raise RejectedError(f"not a file name: {name!r}", code="artifact.bad_name")
        target = self._cache_dir / hex_of(artifact_id) / name
        if target.exists():
            if _holds(target, artifact_id):
                return target
            _remove(target)
        with self._scratch() as scratch:
            found = Patience(self._patience_s).run(lambda: self._download(artifact_id, scratch))
            self._move(found, target, artifact_id)
        return target

    def check(self, artifact_id: str) -> None:
        """Read what the store has under an id, and check that it is what was stored.

        Raises:
            RejectedError: unknown (`artifact.unknown`), or other bytes (`artifact.corrupt`).
            UnreachableError: no answer from the store.
        """
        with self._scratch() as scratch:
            Patience(self._patience_s).run(lambda: self._download(artifact_id, scratch))

    def abort_stale_uploads(self, older_than: timedelta) -> int:
        """Free what unfinished uploads of the workspace hold on the server, once nobody can be expected to carry them on.

        Returns:
            How many there were.

        Raises:
            UnreachableError, RejectedError: see `thalweg.artifacts.s3.translated_errors`.
        """
        return abort_stale(self._s3, self._bucket, f"{self._workspace}/artifacts/", older_than)

    def _put(self, stream: BinaryIO, artifact: Artifact, progress: Progress | None) -> None:
        patience, furthest = Patience(self._patience_s), 0

        def note(sent_bytes: int, total_bytes: int) -> None:
            nonlocal furthest
            if sent_bytes > furthest:  # what is found stored is no progress
                furthest = sent_bytes
                patience.renew()
            if progress is not None:
                progress(sent_bytes, total_bytes)

        patience.run(lambda: self._try_put(stream, artifact, note))

    def _try_put(self, stream: BinaryIO, artifact: Artifact, progress: Progress) -> None:
        stream.seek(0)
        # Another size is what a server killed in the middle of a write may have left: send it again.
        if self.stored_size(artifact.id) == artifact.size_bytes:
            progress(artifact.size_bytes, artifact.size_bytes)
        elif artifact.size_bytes <= PART_BYTES:
            self._put_at_once(stream, artifact, progress)
        else:
            PartsUpload(self._s3, self._bucket, self.key_of(artifact.id), artifact).send(stream, progress)

    def _put_at_once(self, stream: BinaryIO, artifact: Artifact, progress: Progress) -> None:
        data = stream.read(artifact.size_bytes + 1)
        sink = HashingSink()
        sink.write(data)
        if sink.artifact() != artifact:
            raise RejectedError("the file was changed while it was being stored", code="artifact.changed")
        with translated_errors(artifact.id):
            self._s3.put_object(Bucket=self._bucket, Key=self.key_of(artifact.id), Body=data)
        progress(artifact.size_bytes, artifact.size_bytes)

    def stored_size(self, artifact_id: str) -> int | None:
        """Bytes of an artifact as stored; None when it is not."""
        found = self._find(artifact_id)
        return found[1] if found is not None else None

    def promote(self, artifact_id: str) -> None:
        """Make an artifact of the lease the workspace's; harmless when it is.

        Raises:
            RejectedError: `artifact.unknown`.
            UnreachableError: no answer from the store.
        """
        mine, theirs = self.key_of(artifact_id), self._prefix("") + hex_of(artifact_id)
        found = self._find(artifact_id)
        if found is None:
            raise RejectedError(f"file store: {artifact_id} is not there", code="artifact.unknown")
        if found[0] != theirs:
            with translated_errors(artifact_id):
                self._s3.copy({"Bucket": self._bucket, "Key": mine}, self._bucket, theirs, Config=copying_at_once())
        if self.lease:
            with translated_errors(artifact_id):
                self._s3.delete_object(Bucket=self._bucket, Key=mine)

    def remove_lease(self) -> int:
        """Remove all that the lease has put, unfinished uploads too; how many artifacts there were."""
        assert self.lease, "the workspace's artifacts are not removed as a whole"
        try:
            return self._remove_under(self._prefix(self.lease))
        except RejectedError as error:
            if error.code == "store.no_bucket":  # nothing was ever put
                return 0
            raise

    def _remove_under(self, prefix: str) -> int:
        count = 0
        with translated_errors(prefix):
            abort_stale(self._s3, self._bucket, prefix, timedelta(days=-1))
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                for one in page.get("Contents", []):
                    self._s3.delete_object(Bucket=self._bucket, Key=one["Key"])
                    count += 1
        return count

    def _download(self, artifact_id: str, scratch: Path) -> Path:
        path, sink = scratch / "download", HashingSink()
        found = self._find(artifact_id) if self.lease else None
        with path.open("wb") as file, translated_errors(artifact_id):
            body = self._s3.get_object(Bucket=self._bucket, Key=found[0] if found is not None else self.key_of(artifact_id))["Body"]
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
