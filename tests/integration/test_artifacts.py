"""The file store on a real S3 server."""

from __future__ import annotations

import os
import signal
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from thalweg.artifacts import Artifact, Store, digest_of
from thalweg.embedded import EmbeddedStack
from thalweg.errors import RejectedError, UnreachableError, UsageError


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    with EmbeddedStack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
def store(stack: EmbeddedStack, tmp_path: Path) -> Store:
    store = Store(stack.s3_endpoint, "thalweg", stack.s3_access_key, stack.s3_secret_key, "default", tmp_path / "cache")
    store.ensure_bucket()
    return store


def _object(stack: EmbeddedStack, store: Store, artifact: Artifact) -> Path:
    return stack.data_dir / "s3" / "thalweg" / store.key_of(artifact.id)


def test_a_file_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "table.csv"
    source.write_bytes(b"a,b\n1,2\n")
    artifact = store.put_file(source)
    assert artifact == digest_of(source)
    fetched = store.fetch(artifact.id, "rows.csv")
    assert (fetched.name, fetched.read_bytes()) == ("rows.csv", b"a,b\n1,2\n")


def test_an_empty_file_can_be_stored(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "empty"
    source.touch()
    assert store.fetch(store.put_file(source).id, "empty").read_bytes() == b""


def test_a_large_file_goes_in_parts_with_progress(store: Store, tmp_path: Path) -> None:
    source, seen = tmp_path / "large.bin", list[tuple[int, int]]()
    source.write_bytes(os.urandom((40 << 20) + 7))
    artifact = store.put_file(source, lambda sent, total: seen.append((sent, total)))
    assert [sent for sent, _ in seen] == [16 << 20, 32 << 20, (40 << 20) + 7]
    assert store.fetch(artifact.id, "large.bin").read_bytes() == source.read_bytes()


def test_the_same_bytes_are_sent_once(store: Store, stack: EmbeddedStack, tmp_path: Path) -> None:
    source = tmp_path / "once"
    source.write_bytes(os.urandom(100))
    written = _object(stack, store, store.put_file(source))
    before = written.stat().st_mtime_ns
    store.put_file(source)
    assert written.stat().st_mtime_ns == before


def test_what_a_killed_server_left_unfinished_is_sent_again(store: Store, stack: EmbeddedStack, tmp_path: Path) -> None:
    source = tmp_path / "cut"
    source.write_bytes(os.urandom(100))
    artifact = store.put_file(source)
    server, written = stack.processes[1], _object(stack, store, artifact)
    killed = server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    os.truncate(written, 10)
    server.wait_restarted(killed, 20)
    store.put_file(source)
    assert store.fetch(artifact.id, "cut").read_bytes() == source.read_bytes()


def test_other_bytes_from_the_store_are_refused(store: Store, stack: EmbeddedStack, tmp_path: Path) -> None:
    source = tmp_path / "honest"
    source.write_bytes(b"honest bytes")
    artifact = store.put_file(source)
    _object(stack, store, artifact).write_bytes(b"forged bytes")
    with pytest.raises(RejectedError) as caught:
        store.fetch(artifact.id, "honest")
    assert caught.value.code == "artifact.corrupt"


def test_a_changed_copy_in_the_cache_is_replaced(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "kept"
    source.write_bytes(b"kept")
    artifact = store.put_file(source)
    store.fetch(artifact.id, "kept").write_bytes(b"lost")
    assert store.fetch(artifact.id, "kept").read_bytes() == b"kept"


def _make_directory(path: Path) -> Path:
    (path / "sub" / "empty").mkdir(parents=True)
    (path / "sub" / "ä b.txt").write_text("text")
    (path / "tool").write_text("#!")
    (path / "tool").chmod(0o700)
    return path


def test_a_directory_comes_back_and_is_the_same_artifact_elsewhere(store: Store, tmp_path: Path) -> None:
    artifact = store.put_directory(_make_directory(tmp_path / "one"))
    other = _make_directory(tmp_path / "two")
    os.utime(other / "tool", (1, 1))
    assert store.put_directory(other) == artifact
    fetched = store.fetch(artifact.id, "model")
    assert sorted(path.relative_to(fetched).as_posix() for path in fetched.rglob("*")) == ["sub", "sub/empty", "sub/ä b.txt", "tool"]
    assert os.access(fetched / "tool", os.X_OK)
    assert digest_of(fetched) == artifact
    assert store.fetch(artifact.id, "model") == fetched


def test_a_tar_stored_as_a_file_stays_a_file(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "bundle.tar"
    with tarfile.open(source, "w") as tar:
        tar.add(_make_directory(tmp_path / "dir"), "dir")
    assert store.fetch(store.put_file(source).id, "bundle.tar").is_file()


def test_a_directory_with_a_link_is_refused(store: Store, tmp_path: Path) -> None:
    folder = _make_directory(tmp_path / "linked")
    (folder / "link").symlink_to("tool")
    with pytest.raises(RejectedError) as caught:
        store.put_directory(folder)
    assert caught.value.code == "artifact.not_storable"


@pytest.mark.parametrize("name", ["", "..", "a/b"])
def test_a_name_that_is_a_path_is_refused(store: Store, name: str) -> None:
    with pytest.raises(RejectedError) as caught:
        store.fetch("sha256:" + "0" * 64, name)
    assert caught.value.code == "artifact.bad_name"


def test_an_unknown_artifact_is_rejected(store: Store) -> None:
    unknown = "sha256:" + "0" * 64
    assert not store.exists(unknown)
    with pytest.raises(RejectedError) as caught:
        store.fetch(unknown, "x")
    assert caught.value.code == "artifact.unknown"


def test_threads_may_fetch_one_artifact_together(store: Store, tmp_path: Path) -> None:
    artifact = store.put_directory(_make_directory(tmp_path / "shared"))
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: store.fetch(artifact.id, "shared"), range(8)))
    assert len(paths) == 1


def test_wrong_keys_are_denied(stack: EmbeddedStack, tmp_path: Path) -> None:
    store = Store(stack.s3_endpoint, "thalweg", stack.s3_access_key, "wrong", "default", tmp_path)
    with pytest.raises(UsageError) as caught:
        store.exists("sha256:" + "0" * 64)
    assert caught.value.code == "store.denied"


def test_a_store_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    store = Store("http://127.0.0.1:1", "thalweg", "a", "b", "default", tmp_path)
    with pytest.raises(UnreachableError):
        store.exists("sha256:" + "0" * 64)
