"""The embedded servers, their deaths and their owners' deaths."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nats
import psutil
import pytest
import uvloop

from thalweg.bus.connection import connect
from thalweg.embedded import EmbeddedStack, ManagedProcess
from thalweg.errors import RejectedError, UnreachableError

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


def _until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)


def _is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def _store(url: str, text: str) -> None:
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="kept", subjects=["kept"])
    await jetstream.publish("kept", text.encode())
    await client.close()


async def _load(url: str) -> str:
    client = await nats.connect(url)
    message = await client.jetstream().get_last_msg("kept", "kept")
    await client.close()
    return (message.data or b"").decode()


def test_a_killed_nats_server_is_back_on_its_port_with_its_data(tmp_path: Path) -> None:
    with EmbeddedStack(tmp_path) as stack:
        asyncio.run(_store(stack.nats_url, "before"))
        server = stack.processes[0]
        killed = server.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        server.wait_restarted(killed, 20)
        assert asyncio.run(_load(stack.nats_url)) == "before"
        assert server.death_count == 1


def test_a_connection_is_closed_while_its_server_is_away_and_something_is_not_sent(tmp_path: Path) -> None:
    async def closed() -> bool:
        with EmbeddedStack(tmp_path) as stack:
            client = await connect(stack.nats_url, "test")
        deadline = time.monotonic() + 20
        while client.is_connected:
            assert time.monotonic() < deadline, "the connection is not seen to be lost"
            await asyncio.sleep(0.01)
        await client.publish("nobody", b"unsent")
        await client.close()
        return client.is_closed

    assert uvloop.run(closed())


def test_a_later_stack_goes_on_from_the_data_with_the_same_keys(tmp_path: Path) -> None:
    with EmbeddedStack(tmp_path) as first:
        asyncio.run(_store(first.nats_url, "kept"))
        keys = (first.s3_access_key, first.s3_secret_key)
    first.stop()
    with EmbeddedStack(tmp_path) as second:
        assert asyncio.run(_load(second.nats_url)) == "kept"
        assert (second.s3_access_key, second.s3_secret_key) == keys
    assert stat.S_IMODE((tmp_path / "s3-keys.json").stat().st_mode) == 0o600


def test_a_second_owner_of_a_folder_is_rejected(tmp_path: Path) -> None:
    with EmbeddedStack(tmp_path) as stack:
        with pytest.raises(RejectedError, match=str(os.getpid())) as caught:
            EmbeddedStack(tmp_path).start()
        assert caught.value.code == "data.in_use"
        assert all(process.pid is not None for process in stack.processes)


OWNER = """
import signal, sys
from pathlib import Path
from thalweg.embedded import EmbeddedStack
stack = EmbeddedStack(Path(sys.argv[1]))
stack.start()
print(*(process.pid for process in stack.processes), flush=True)
signal.pause()
"""


def test_the_servers_of_a_killed_owner_end_and_the_next_owner_takes_over(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pids = [int(pid) for pid in owner.stdout.readline().split()]
    owner.kill()
    owner.wait()
    owner.stdout.close()
    with EmbeddedStack(tmp_path) as stack:
        assert all(_is_gone(pid) for pid in pids)
        asyncio.run(_store(stack.nats_url, "taken over"))


def test_a_process_that_ignores_the_stop_signal_is_killed(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); signal.pause()"
    log = tmp_path / "log"
    deaf = ManagedProcess(
        "deaf", [sys.executable, "-c", code], log_path=log, is_ready=lambda: log.read_text() == "on\n", stop_timeout_s=0.2
    )
    deaf.start()
    deaf.wait_ready(20)
    pid = deaf.pid
    deaf.stop()
    deaf.stop()
    assert pid is not None
    assert _is_gone(pid)
    assert deaf.returncode == -signal.SIGKILL


def test_a_process_that_cannot_live_is_named_with_the_last_line_of_its_log(tmp_path: Path) -> None:
    broken = ManagedProcess(
        "broken", [sys.executable, "-c", "import sys; sys.exit('no disk')"], log_path=tmp_path / "log", is_ready=lambda: False
    )
    broken.start()
    try:
        with pytest.raises(UnreachableError, match="broken died 3 times: no disk"):
            broken.wait_ready(20)
    finally:
        broken.stop()


def test_a_process_that_is_not_to_be_restarted_ends_for_good(tmp_path: Path) -> None:
    once = ManagedProcess("once", [sys.executable, "-c", "import sys; sys.exit(4)"], log_path=tmp_path / "log", restart=False)
    once.start()
    assert once.wait(20) == 4


def test_what_another_owner_left_by_the_pid_file_is_ended_first(tmp_path: Path) -> None:
    pid_path = tmp_path / "child.pid"
    left = ManagedProcess("left", SLEEPER, pid_path=pid_path, restart=False)
    left.start()
    left.wait_ready(20)
    _until(pid_path.exists)
    first = left.pid
    taker = ManagedProcess("taker", SLEEPER, pid_path=pid_path)
    taker.start()
    taker.wait_ready(20)
    assert first is not None
    assert _is_gone(first)
    taker.stop()
    assert not pid_path.exists()
    left.stop()


def test_a_port_that_another_server_has_is_refused_and_not_shared(tmp_path: Path) -> None:
    with EmbeddedStack(tmp_path / "first") as first:
        port = int(first.nats_url.rpartition(":")[2])
        with pytest.raises(RejectedError, match=f"port {port} is in use"):
            EmbeddedStack(tmp_path / "second", nats_port=port).start()
