"""Components with outside connections that can be tried."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

from pydantic import BaseModel

import thalweg
from thalweg import At, Receipt, RejectedError, Secret, UnreachableError


class Door(BaseModel):
    """Where it is."""

    port: int


@thalweg.component("knock-source", version="1.0.0", deterministic=False)
class KnockSource:
    """Gives nothing, and can say whether anybody listens at a port."""

    params: Door

    def probe(self) -> None:
        """Opens the port."""
        target = f"tcp://127.0.0.1:{self.params.port}"
        try:
            socket.create_connection(("127.0.0.1", self.params.port), timeout=5).close()
        except OSError as error:
            raise UnreachableError(f"{target}: {error}", code="knock.unreachable", target=target) from None

    def read(self, cursor: int | None) -> Iterator[At[int]]:
        """Nothing."""
        yield from ()


@thalweg.component("key-sink", version="1.0.0", deterministic=False)
class KeySink:
    """Has a door that one key opens."""

    key: Secret

    async def probe(self) -> None:
        """Tries the key; tells it where it does not fit, which it should not."""
        print("noise on standard output")
        await asyncio.sleep(0)
        if self.key.reveal() != "the-right-one":
            raise RejectedError(f"{self.key.reveal()} does not fit", code="key.wrong", hint="another key", target="door://office")

    def process(self, record: int) -> Receipt:
        """Delivers."""
        return Receipt("door://office")


@thalweg.component("deaf-sink", version="1.0.0", deterministic=False)
class DeafSink:
    """Never says how it is."""

    def probe(self) -> None:
        """Waits for ever."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.accept()

    def process(self, record: int) -> Receipt:
        """Delivers."""
        return Receipt("deaf://nobody")
