"""An HTTP server of a test: answers as it is told, and keeps what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Reply = tuple[int, dict[str, str], bytes]
OK: Reply = (200, {}, b"")


@dataclass(frozen=True)
class Seen:
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What came, and what is answered; `answer` is called for each request, by one thread a connection."""

    answer: Callable[[Seen], Reply] = lambda seen: OK
    seen: list[Seen] = field(default_factory=list)
    port: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, condition: Callable[[list[Seen]], bool], timeout_s: float = 30.0) -> None:
        """Waits until what has come is as it is to be."""
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self.seen), timeout_s), self.seen

    def take(self, seen: Seen) -> Reply:
        """Notes a request, and answers it."""
        reply = self.answer(seen)
        with self.changed:
            self.seen.append(seen)
            self.changed.notify_all()
        return reply


@contextmanager
def receiving(answer: Callable[[Seen], Reply] = lambda seen: OK, port: int = 0) -> Iterator[Receiver]:
    """Runs one on any port, or on that one."""
    receiver = Receiver(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, given, content = receiver.take(Seen(self.command, self.path, headers, body))
            self.send_response(status)
            for name, value in given.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD" and status != 304:
                self.wfile.write(content)

        do_GET = do_POST = do_HEAD = do_OPTIONS = handle_any

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that was killed is no error here."""

    with Server(("127.0.0.1", port), Handler) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
