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
    watermark: int
    time_ns: int


_decoder = msgspec.msgpack.Decoder(_State)


def encode_state(own: bytes | None, latest: dict[str, Any], watermark: int, time_ns: int) -> bytes | None:
    """State of a vertex; None when there is none but the two numbers.

    Args:
        own: the component's own.
        latest: the latest record of each port where they are combined.
        watermark: what the component has seen; a rebuild that began with less would tell it twice, and it may act on that.
        time_ns: event time of the last record.
    """
    if own is None and not latest:
        return None
    return _pack(_State(own, {port: msgspec.Raw(_pack(value)) for port, value in latest.items()}, watermark, time_ns))


def decode_state(state: bytes, edges: list[Edge]) -> tuple[bytes | None, dict[str, Any], int, int]:
    """Inverse of `encode_state`; records are of the classes that the edges decode into."""
    found = _decoder.decode(state)
    kinds = {edge.port: edge.value_type for edge in edges}
    latest = {port: msgspec.msgpack.decode(raw, type=kinds[port]) for port, raw in found.latest.items() if port in kinds}
    return found.own, latest, found.watermark, found.time_ns


class Schedule:
    """Decides when a state that is too large for every commit is written down: now and then, by time and by messages read.

    Args:
        every_messages: what was read since a snapshot stays on the log, so this must leave its writers room.
    """

    def __init__(self, every_messages: int) -> None:
        self._every_messages, self._at_s, self._messages = every_messages, 0.0, 0

    def is_due(self, first: bool, messages: int) -> bool:
        """Whether to write a snapshot now; if so, the next one is counted from here.

        Args:
            first: there is none yet that a rebuild could begin with.
            messages: input messages read so far.
        """
        now = time.monotonic()
        if not first and messages - self._messages < self._every_messages and now - self._at_s < EVERY_S:
            return False
        self._at_s, self._messages = now, messages
        return True
