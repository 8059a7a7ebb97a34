"""The service that the camera tells: checks each message's signature, and keeps the ids that it has seen. Plain Python, no Thalweg."""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_S = 300


class Receiver(ThreadingHTTPServer):
    """Takes signed messages.

    Args:
        port: to listen on; 0 for any.
        secret: `whsec_` and base64.
    """

    daemon_threads = True

    def __init__(self, port: int, secret: str) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.key = base64.b64decode(secret.removeprefix("whsec_"))
        self.seen: set[str] = set()

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """The status to answer with."""
        message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "0")
        signed = hmac.new(self.key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        expected = f"v1,{base64.b64encode(signed).decode()}"
        is_signed = any(hmac.compare_digest(expected, one) for one in headers.get("webhook-signature", "").split())
        if not is_signed or abs(time.time() - int(timestamp)) > TOLERANCE_S:
            return 401
        if message_id not in self.seen:
            self.seen.add(message_id)
            print(f"{message_id}  {json.dumps(json.loads(body)['counts'])}", flush=True)
        return 204


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(self.server.take({name.lower(): value for name, value in self.headers.items()}, body))

    def do_OPTIONS(self) -> None:
        self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8099)
    with Receiver(parser.parse_args().port, os.environ["THALWEG_SECRET_CAMERA_HOOK"]) as server:
        print(f"listening on http://127.0.0.1:{server.server_address[1]}/sightings", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
