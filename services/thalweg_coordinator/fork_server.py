"""`python -m thalweg_coordinator.fork_server FD BLANKS`: imports each service once, then forks its processes: `forking` asks for them.

To import takes most of what it takes to start. Each message of the socket FD is a request, an answer, or tells that a process has ended.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import selectors
import socket
import sys
from pathlib import Path
from typing import TypedDict

LONGEST_REQUEST = 128 << 10
STREAMS = 3  # come with a request: standard input, where both outputs go, and `Changes`


class Request(TypedDict):
    """What is to be forked.

    Attributes:
        module: the service, a package whose `__main__` has a `main`.
        imports: what it will import first of all, if it is known.
        words: its arguments.
    """

    module: str
    imports: list[str]
    words: list[str]


class Changes(TypedDict):
    """How the environment of what is forked differs from that of this process, which never reads it: keys are given to one alone."""

    given: dict[str, str]
    removed: list[str]


def main() -> int:
    """Serves until the socket is closed; what the service's `main` gives, in the processes that were forked."""
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    return 0 if request is None else int(sys.modules[f"{request['module']}.__main__"].main())


def _serve(link: socket.socket) -> Request | None:
    """In a forked process what it is to be; None when nobody asks any more. No thread may run: a fork goes on with one only."""
    with selectors.DefaultSelector() as events:
        events.register(link, selectors.EVENT_READ)
        while True:
            for key, _ in events.select():
                if key.fileobj is not link:  # a process has ended
                    events.unregister(key.fd)
                    os.close(key.fd)
                    _, status = os.waitpid(key.data, 0)
                    _say(link, pid=key.data, code=os.waitstatus_to_exitcode(status))
                    continue
                message, streams, *_ = socket.recv_fds(link, LONGEST_REQUEST, STREAMS)
                if not message:
                    return None
                request: Request = json.loads(message)
                _import(request)
                pid = os.fork()
                if pid == 0:
                    for other in list(events.get_map().values()):
                        os.close(other.fd)
                    link.detach()
                    _become(request, streams)
                    return request
                for stream in streams:
                    os.close(stream)
                _say(link, pid=pid)
                events.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)


def _import(request: Request) -> None:
    wanted = [f"{request['module']}.__main__", *request["imports"]]
    if any(one not in sys.modules for one in wanted):
        for one in wanted:
            importlib.import_module(one)
        gc.collect()
        gc.freeze()  # no collection of a forked process writes to what it shares


def _say(link: socket.socket, **what: int) -> None:
    link.send(json.dumps(what).encode())


def _become(request: Request, streams: list[int]) -> None:
    """Makes a forked process what it would be, had it been started by itself: session, open files, arguments, environment."""
    os.setsid()
    stdin, output, environment = streams
    for stream, number in ((stdin, 0), (output, 1), (output, 2)):
        os.dup2(stream, number)
    os.close(stdin)
    os.close(output)
    sys.argv = [request["module"], *request["words"]]
    _show([sys.executable, "-m", *sys.argv])
    with os.fdopen(environment, "rb") as given:
        changes: Changes = json.load(given)
    os.environ.update(changes["given"])
    for name in changes["removed"]:
        os.environ.pop(name, None)


def _show(words: list[str]) -> None:
    """Has `ps` and its like show these words, as setproctitle(3) does, in the place of the server's own, whose blanks make room."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])  # arg_start and arg_end of proc(5)
    shown = " ".join(words).encode()[: end - begin - 2]
    # Where the last byte is not zero, Linux takes the first zero for the end.
    ctypes.memmove(begin, shown.ljust(end - begin - 1, b"\0") + b" ", end - begin)


if __name__ == "__main__":
    sys.exit(main())
