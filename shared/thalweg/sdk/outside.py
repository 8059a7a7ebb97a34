"""Values as people outside send them: bare msgpack, read as a stream type or refused with the path and the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from thalweg.graph.types import StreamType, format_type
from thalweg.sdk.records import python_type
from thalweg.sdk.values import RecordError


def unpacker(stream_type: StreamType) -> Callable[[bytes], Any]:
    """A function that makes a value of a type out of msgpack bytes.

    Raises (the returned function):
        RecordError: they are none; names path and reason.
    """
    decoder = msgspec.msgpack.Decoder(python_type(stream_type))

    def unpack(data: bytes) -> Any:
        try:
            return decoder.decode(data)
        except (msgspec.DecodeError, TypeError, ValueError, RecursionError) as error:
            raise RecordError(f"{len(data):,} bytes from outside are not {format_type(stream_type)}: {error}") from error

    return unpack
