"""Snapshots of a vertex's state: what is in one, and when a large one is due."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from thalweg.runtime.inputs import Edge

SMALL_STATE_BYTES = 8192
EVERY_S, EVERY_MESSAGES = 1.0, 128
_pack = msgspec.msgpack.Encoder().encode


class _State(msgspec.Struct, array_like=True):
    own: bytes | None
    latest: dict[str, msgspec.Raw]


_decoder = msgspec.msgpack.Decoder(_State)


def encode_state(own: bytes | None, latest: dict[str, Any]) -> bytes | None:
    """State of a vertex: the component's own, and the latest record of each port where they are combined; None when there is none."""
    if own is None and not latest:
        return None
    return _pack(_State(own, {port: msgspec.Raw(_pack(value)) for port, value in latest.items()}))


def decode_state(state: bytes, edges: list[Edge]) -> tuple[bytes | None, dict[str, Any]]:
    """Inverse of `encode_state`; records are of the classes that the edges decode into."""
    found = _decoder.decode(state)
    kinds = {edge.port: edge.value_type for edge in edges}
    return found.own, {port: msgspec.msgpack.decode(raw, type=kinds[port]) for port, raw in found.latest.items() if port in kinds}


class Schedule:
    """Decides when a state that is too large for every commit is written down: now and then, by time and by messages read."""

    def __init__(self) -> None:
        self._at_s, self._messages = 0.0, 0

    def is_due(self, first: bool, messages: int) -> bool:
        """Whether to write a snapshot now; if so, the next one is counted from here.

        Args:
            first: there is none yet that a rebuild could begin with.
            messages: input messages read so far.
        """
        now = time.monotonic()
        if not first and messages - self._messages < EVERY_MESSAGES and now - self._at_s < EVERY_S:
            return False
        self._at_s, self._messages = now, messages
        return True
