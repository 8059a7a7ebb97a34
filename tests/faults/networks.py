"""A network of its own for each node of a cluster and for its clients, whose cables can be pulled; gone afterwards.

A namespace in the middle holds two bridges: nodes reach each other over the one, and clients reach nodes over the other.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from faults.nats_cluster import NODES, Place

_IP = shutil.which("ip") or "/usr/sbin/ip"
_PREFIX, _MIDDLE, _CLIENTS = "thalweg-faults", "middle", "clients"
_NEWNET = 0x40000000  # CLONE_NEWNET
# Addresses for documentation (RFC 5737), which nobody has; nothing of this is in the machine's own network.
_NETS = {"routes": "192.0.2", "public": "198.51.100"}


class NoNetworksError(Exception):
    """This machine does not let us make any."""


class Networks:
    """Made by `networks`."""

    def __init__(self) -> None:
        self._base = f"{_PREFIX}-{os.getpid()}"

    def places(self) -> list[Place]:
        """For the nodes."""
        found = []
        for number, name in enumerate(NODES, 1):
            routes, public = (f"{net}.{number}" for net in _NETS.values())
            prefix = (_IP, "netns", "exec", self._space(name))
            found.append(Place(name, f"{routes}:6222", f"{public}:4222", f"{public}:8222", prefix))
        return found

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Within the block, this thread, and the processes and threads that it starts, are where clients are."""
        with open("/proc/self/ns/net", "rb") as former, open(f"/run/netns/{self._space(_CLIENTS)}", "rb") as inside:
            _set_namespace(inside.fileno())
            try:
                yield
            finally:
                _set_namespace(former.fileno())

    def part(self, name: str, *, from_clients: bool = False) -> None:
        """Pulls a node's cable to the other nodes, and the one to the clients as well if asked for. No end notices: packets are gone."""
        for bridge in ("routes", "public") if from_clients else ("routes",):
            _ip("-n", self._space(_MIDDLE), "link", "set", f"{bridge}-{name}", "nomaster")

    def join(self, name: str) -> None:
        """Plugs both in again."""
        for bridge in _NETS:
            _ip("-n", self._space(_MIDDLE), "link", "set", f"{bridge}-{name}", "master", bridge)

    def make(self) -> None:
        """Namespaces, bridges and cables."""
        for name in (_MIDDLE, _CLIENTS, *NODES):
            _ip("netns", "add", self._space(name))
            _ip("-n", self._space(name), "link", "set", "lo", "up")
        for bridge, net in _NETS.items():
            _ip("-n", self._space(_MIDDLE), "link", "add", bridge, "type", "bridge")
            _ip("-n", self._space(_MIDDLE), "link", "set", bridge, "up")
            for number, name in enumerate(NODES, 1):
                self._plug(bridge, name, f"{net}.{number}/24")
        self._plug("public", _CLIENTS, f"{_NETS['public']}.100/24")

    def _plug(self, bridge: str, name: str, address: str) -> None:
        middle, own, cable = self._space(_MIDDLE), self._space(name), f"{bridge}-{name}"
        _ip("-n", middle, "link", "add", cable, "type", "veth", "peer", "name", bridge, "netns", own)
        _ip("-n", middle, "link", "set", cable, "master", bridge, "up")
        _ip("-n", own, "addr", "add", address, "dev", bridge)
        _ip("-n", own, "link", "set", bridge, "up")

    def _space(self, name: str) -> str:
        return f"{self._base}-{name}"


@contextmanager
def networks() -> Iterator[Networks]:
    """The networks, with none that a killed test has left.

    Raises:
        NoNetworksError: as it says.
    """
    if os.geteuid() != 0:
        raise NoNetworksError("only root may make network namespaces")
    _remove(lambda pid: not psutil.pid_exists(pid))
    with ExitStack() as at_end:
        at_end.callback(_remove, lambda pid: pid == os.getpid())
        found = Networks()
        try:
            found.make()
        except (OSError, subprocess.CalledProcessError) as error:
            why = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
            raise NoNetworksError(f"network namespaces cannot be made here: {why}") from error
        yield found


def _remove(is_meant: Callable[[int], bool]) -> None:
    """Namespaces by the process that has made them, with all that is in them."""
    for path in Path("/run/netns").glob(f"{_PREFIX}-*"):
        pid = path.name.removeprefix(f"{_PREFIX}-").partition("-")[0]
        if pid.isdecimal() and is_meant(int(pid)):
            _ip("netns", "del", path.name)


def _ip(*words: str) -> None:
    subprocess.run([_IP, *words], check=True, capture_output=True, text=True, timeout=30)


def _set_namespace(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "a network namespace cannot be entered")
