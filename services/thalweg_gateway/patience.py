"""HTTP connections that wait only so long, and for so many bytes, where a client is slow on purpose.

uvicorn bounds neither the time nor the size of a request's head, and once a request is refused it reads on for as long as any of the
body comes: a client that sends byte by byte would keep its place among the connections for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT_S = 10.0
LINGER_S = 2.0  # to read on behind a refusal: a connection that is closed on a client that still sends may lose it the answer
MAX_HEAD_BYTES = 64 << 10
_LATE = "the request's head has not come in time"
_LARGE = f"the request's head has more than {MAX_HEAD_BYTES:,} bytes"


class PatientProtocol(HttpToolsProtocol):
    """One connection. Make a subclass by `patient` to say how patient it is."""

    head_timeout_s = HEAD_TIMEOUT_S

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._waiting: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_refused = False
        self._is_whole = True  # the newest request, with its body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head has to come soon."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Counts what comes before a head is complete."""
        if self._is_refused:
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._waiting is not None and self._head_bytes > MAX_HEAD_BYTES:
            self._give_up(b"431 Request Header Fields Too Large", "request.head_too_large", _LARGE)

    def on_message_begin(self) -> None:
        """The head of a further request on this connection has begun; between requests uvicorn's own timeout holds."""
        super().on_message_begin()
        if self._waiting is None:
            self._head_bytes = 0
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._stop_waiting()
        self._is_whole = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is there."""
        self._is_whole = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """What was answered before its body had come is not read to the end."""
        super().on_response_complete()
        if not self._is_whole:
            self.loop.call_later(LINGER_S, self._leave)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _leave(self) -> None:
        if not self._is_whole and self.cycle.response_complete:
            self.transport.close()

    def _wait_for_head(self) -> None:
        self._waiting = self.loop.call_later(self.head_timeout_s, self._give_up, b"408 Request Timeout", "request.head_late", _LATE)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self, status: bytes, code: str, what: str) -> None:
        self._stop_waiting()
        if self.transport.is_closing():
            return
        body = f'{{"error": {{"code": "{code}", "message": "{what}"}}}}'.encode()
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(body))
        self._is_refused = True
        self.transport.write(head + body)
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)


def patient(head_timeout_s: float) -> type[PatientProtocol]:
    """Connections that wait so long for a head."""
    return type("PatientProtocol", (PatientProtocol,), {"head_timeout_s": head_timeout_s})
