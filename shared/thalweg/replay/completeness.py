"""What a replay says of itself: per subject how much there is, what is missing, a digest; the last thing that is written."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from thalweg.replay.format import Entry
from thalweg.wire.boundary import count_records
from thalweg.wire.commit import CHUNK_HEADER
from thalweg.wire.subjects import parse_port

MAX_GAPS = 1000  # that are listed; more are counted
START = bytes(32)


class Tally(msgspec.Struct):
    """What there is of one subject.

    Attributes:
        messages: how many, pieces counted by themselves.
        first, last: sequences.
        records: records in its batches; 0 for what is no port.
        written: records that the vertex says to have written; None where that is not known.
        digest: hex of a chain over headers and bodies: `d' = sha256(d + size of the headers, 4 bytes + headers + body)`.
    """

    messages: int
    first: int
    last: int
    records: int
    digest: str
    written: int | None = None


class Stretch(msgspec.Struct, frozen=True):
    """That a replay has the last part of a run alone.

    Attributes:
        last_s: how long a part was wanted, at most.
        from_ns, to_ns: when its first and last message were stored, UTC.
        cause: why it was saved.
    """

    last_s: float
    from_ns: int
    to_ns: int
    cause: str


class Completeness(msgspec.Struct):
    """Whether a replay is whole, and what proves it.

    Attributes:
        complete: nothing of what was to be captured is missing.
        reason: why not.
        first, last: sequences of the log that were looked at; 0 while there is none.
        gap_count: stretches of the log that are missing.
        gaps: the first of them, as (first, last) sequence.
        subjects: what there is.
        window: it begins in the middle of the run, on purpose, and is whole from there on; None for one from the beginning.
    """

    complete: bool
    reason: str | None
    first: int
    last: int
    gap_count: int
    gaps: list[tuple[int, int]]
    subjects: dict[str, Tally]
    window: Stretch | None = None


class Counting:
    """Counts what is recorded, message by message.

    Args:
        is_gapless: every message of the log is to be there, so that a missing sequence is a gap.
        start: the first sequence that is to be there.
    """

    def __init__(self, *, is_gapless: bool, start: int = 1) -> None:
        self._is_gapless = is_gapless
        self._tallies: dict[str, tuple[Tally, bytes]] = {}
        self._gaps: list[tuple[int, int]] = []
        self._gap_count = 0
        self.first, self.last = 0, start - 1

    def add(self, entry: Entry) -> None:
        """Counts one message; messages come in the order of the log."""
        if self._is_gapless and entry.sequence > self.last + 1:
            self._gap_count += 1
            if len(self._gaps) < MAX_GAPS:
                self._gaps.append((self.last + 1, entry.sequence - 1))
        self.first, self.last = self.first or entry.sequence, entry.sequence
        tally, before = self._tallies.get(entry.subject) or (Tally(0, entry.sequence, 0, 0, ""), START)
        tally.messages += 1
        tally.last = entry.sequence
        tally.records += records_in(entry)
        digest = sha256(before + len(entry.headers).to_bytes(4, "little") + entry.headers)
        digest.update(entry.body or b"")  # not joined: a body may be megabytes
        self._tallies[entry.subject] = tally, digest.digest()

    def close(self, written: Mapping[tuple[str, str], int], reason: str | None, window: Stretch | None = None) -> Completeness:
        """The account.

        Args:
            written: records that each captured port has put out, as its vertex says.
            reason: why it is not whole; None where nothing is known that would be missing.
            window: as in the account.
        """
        found: dict[str, Tally] = {}
        for subject, (tally, digest) in sorted(self._tallies.items()):
            found[subject] = msgspec.structs.replace(tally, digest=digest.hex(), written=written.get(_port(subject)))
        have = {_port(subject): tally.records for subject, tally in found.items()}
        short = [f"{vertex}.{port}: {have.get((vertex, port), 0):,} of {count:,} records" for (vertex, port), count in written.items()
                 if have.get((vertex, port), 0) != count]  # fmt: skip
        missing = f"{self._gap_count} gaps in the log" if self._gap_count else None
        why = reason or missing or ("; ".join(short[:10]) or None)
        return Completeness(why is None, why, self.first, self.last, self._gap_count, self._gaps, found, window)


def records_in(entry: Entry) -> int:
    """How many records a message brings: the length of the array `v` with which the body of a port begins."""
    place, body = parse_port(entry.subject), entry.body
    if body is None or place is None or place[1].startswith("_") or body[1:3] != b"\xa1v":
        return 0
    if CHUNK_HEADER.encode() in entry.headers and f'"{CHUNK_HEADER}":"1/'.encode() not in entry.headers:
        return 0  # a later piece
    return count_records(body) if len(body) > 3 else 0


def _port(subject: str) -> tuple[str, str]:
    place = parse_port(subject)
    return place[:2] if place is not None else ("", subject)


def encode_completeness(found: Completeness) -> dict[str, str]:
    """As metadata, with a digest over itself: metadata has no checksum of its own."""
    body = msgspec.json.encode(found).decode()
    return {"complete": "true" if found.complete else "false", "account": body, "digest": sha256(body.encode()).hexdigest()}


def decode_completeness(metadata: Mapping[str, Any]) -> Completeness | None:
    """Inverse of `encode_completeness`; None where it was damaged."""
    body = metadata.get("account", "")
    if sha256(body.encode()).hexdigest() != metadata.get("digest"):
        return None
    try:
        found = msgspec.json.decode(body, type=Completeness)
    except msgspec.DecodeError:
        return None
    return found if metadata.get("complete") == ("true" if found.complete else "false") else None
