"""Dead letters on the log, and what is done about them: given again to the vertex that refused them, or dropped.

What is done is a message on `….again.<vertex>.<partition>`, written by the coordinator: a batch of `Again`, whose `s` says which letters
are settled with it. The vertex reads it as one more inlet and commits how far it is; so a letter is done with once, whatever is killed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from thalweg.wire.batch import Batch, batch_decoder, encode_batch

AGAIN_KEY = "dead>again"  # in a vertex's positions
REQUEST_HEADER = "Tw-Request"  # who asked for the message: a reply that was lost can be found out
_BEGINNING = -(2**63)
_pack = msgspec.msgpack.Encoder().encode

Settled = dict[int, list[int]]
"""By sequence of a message with dead letters: which of them are settled; all of them where the list is empty."""


class Letter(msgspec.Struct, omit_defaults=True):
    """One dead letter.

    Attributes:
        id: of the record.
        where: place in the vertex's input, as the vertex said it.
        error: why it was refused.
        value: msgpack of the record, without secrets.
        code: dotted code of the error.
        port: input port by which it came; "" where it cannot be given again alone.
        time: event time, UTC ns.
        whole: the value is the record itself: it is neither cut nor without something that was a secret.
        root: id of the record from outside that it comes from; None where that is not known.
    """

    id: int
    where: str
    error: str
    value: bytes
    code: str = ""
    port: str = ""
    time: int = 0
    whole: bool = False
    root: int | None = None


class Again(msgspec.Struct, array_like=True):
    """A record that is given again; none, only counts, where there is no port.

    Attributes:
        port: input port.
        value: msgpack of the record.
        closed: how many messages with dead letters have none left since this one.
        dropped: how many letters are dropped with it.
    """

    port: str
    value: bytes
    closed: int = 0
    dropped: int = 0


_letters = msgspec.msgpack.Decoder(list[Letter])
_settled = msgspec.msgpack.Decoder(Settled)
_again = batch_decoder(Again)


def decode_letters(body: bytes) -> list[Letter]:
    """The letters of a message. Raises msgspec.DecodeError."""
    return _letters.decode(body)


def encode_again(letters: Sequence[Letter], dropped: int, closed: int, settled: Settled) -> bytes:
    """Body of a message that gives letters again, or drops some.

    Args:
        letters: to be given again.
        dropped: how many others are dropped.
        closed: how many messages with dead letters have none left then.
        settled: all that are settled then, of those that are still there.
    """
    items = [Again(one.port, one.value) for one in letters] or [Again("", b"")]
    items[-1].closed, items[-1].dropped = closed, dropped
    times, ids = [one.time for one in letters] or [0], [one.id for one in letters] or [0]
    roots = [one.id if one.root is None else one.root for one in letters] or [0]
    # Progress that is not of this world: a record that comes again says nothing about event time.
    return encode_batch([_pack(one) for one in items], times, ids, [_BEGINNING] * len(items), _pack(settled), roots)


def decode_again(body: bytes) -> tuple[int, Settled]:
    """How many items a message has, and what is settled with it. Raises msgspec.DecodeError."""
    batch: Batch[Again] = _again.decode(body)
    return len(batch.v), _settled.decode(batch.s or b"\x80")


def is_settled(settled: Settled, sequence: int, index: int) -> bool:
    """Whether a letter is."""
    found = settled.get(sequence)
    return found is not None and (not found or index in found)


def settle(settled: Settled, chosen: Iterable[tuple[int, int]], counts: Mapping[int, int]) -> tuple[Settled, int]:
    """What is settled with some more letters, and how many messages have none left since.

    Args:
        settled: before; of messages that are gone, nothing is kept.
        chosen: (sequence, index) of letters that are open.
        counts: letters of each message that is there.
    """
    found = {sequence: list(indexes) for sequence, indexes in settled.items() if sequence in counts}
    before = sum(not indexes for indexes in found.values())
    for sequence, index in chosen:
        found.setdefault(sequence, []).append(index)
    whole = {sequence: [] if len(set(indexes)) >= counts[sequence] else sorted(set(indexes)) for sequence, indexes in found.items()}
    return whole, sum(not indexes for indexes in whole.values()) - before


def closed_messages(settled: Settled) -> Collection[int]:
    """Sequences of messages that have no open letter."""
    return [sequence for sequence, indexes in settled.items() if not indexes]
