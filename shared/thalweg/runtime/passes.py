"""The loops that run once per record, written out for the type of the port: call the component, check what it gave, encode.

Each result is encoded before the next call, so a component may return the same object again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, cast

import msgspec

from thalweg.graph.types import StreamType
from thalweg.sdk.conform import Conform, exact_test
from thalweg.sdk.values import At, Bad, Emit, Recorded

CHUNK_S = 0.002  # how long records are worked on before the limits are looked at again
STRIDE = 16  # records between looks at the clock, where they are fast enough
_LOOPS = """
def run(call, values, parts):
    for value in values:
        one = call(value)
        try:
            parts.append({part})
        except Exception as error:
            raise CloserLookError(one) from error

def run_telling(call, values, times, ids, context, parts):
    for value, context.time_ns, context.record_id in zip(values, times, ids):
        one = call(value)
        try:
            parts.append({part})
        except Exception as error:
            raise CloserLookError(one) from error

def pull(source, items, parts, hurry):
    for item in source:
        if type(item) is not At:
            if type(item) in NOT_VALUES:
                raise CloserLookError(item)
            item = At(item, None)
        one = item.value
        try:
            parts.append({value})
        except Exception as error:
            raise CloserLookError(item) from error
        items.append(item)
        if hurry:
            return True
    return False
"""


class CloserLookError(Exception):
    """A result that is not one plain record of the port's type; it is given with it, so that the component is not called again."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class Passes:
    """The loops for one port, or for none (then every result must be None).

    `run(call, values, parts)` appends the encoded result of each call to `parts`, None for a filtered record;
    `run_telling` sets time and id in the context before each call. `pull(source, items, parts, hurry)` takes records out of an
    iterator; each is in `items` before the next one is asked for, and its encoded value in `parts` before that. It returns True when
    it left because `hurry`, a list that another thread may fill, was not empty behind a record.

    Raises (the loops):
        CloserLookError: at the first result that is not plain.
        Exception: whatever the component raises.
    """

    def __init__(self, stream_type: StreamType | None, conform: Conform | None) -> None:
        encode = msgspec.msgpack.Encoder().encode

        def value(one: Any) -> bytes:
            if one is None or conform is None or not _is_plain(cast(Hashable, type(one))):
                raise CloserLookError(one)
            return encode(conform(one))

        def slow(one: Any) -> bytes | None:
            return None if one is None else value(one)

        fits, scope = exact_test("one", stream_type) if stream_type is not None else ("False", {})
        scope |= {"encode": encode, "slow": slow, "value": value, "CloserLookError": CloserLookError}
        scope |= {"At": At, "NOT_VALUES": (Bad, Emit, Recorded)}
        exec(_LOOPS.format(part=f"encode(one) if {fits} else slow(one)", value=f"encode(one) if {fits} else value(one)"), scope)
        self.run: Callable[..., None] = scope["run"]
        self.run_telling: Callable[..., None] = scope["run_telling"]
        self.pull: Callable[..., bool] = scope["pull"]


@lru_cache(maxsize=1024)
def _is_plain(kind: Hashable) -> bool:
    """Whether results of this class are records: not several, not to be awaited, not for a port of their own."""
    return kind not in (Emit, At) and not any(hasattr(kind, name) for name in ("__next__", "__await__", "__anext__"))
