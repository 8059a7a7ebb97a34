"""http-out: shows a running deployment's records to whoever asks."""

from __future__ import annotations

from typing import TypeVar

from thalweg import component

T = TypeVar("T")


@component("http-out", version="1.0.0", endpoint="out")
def http_out(record: T) -> T:
    """Shows a running deployment's records to whoever asks.

    **Ports**: `in` takes records of any type. `out` is the endpoint: each record is one bare msgpack value on its subject, for
    any NATS client, and goes to all who read it by WebSocket or server-sent events through the gateway; no edge starts there.

    **Kept**: the newest records, half of what a subject of the log holds (512 where nothing else is said). Nobody need read them:
    readers never hold the graph up.
    """
    return record
