"""Reads a replay: messages, records of a port, and whether it is whole; what is intact of a damaged one is read."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec
from mcap.records import DataEnd

from thalweg.errors import RejectedError
from thalweg.replay.chunks import Channels, encode, entries_of, open_chunk
from thalweg.replay.completeness import Counting, Tally
from thalweg.replay.format import Entry, decode_headers
from thalweg.replay.outline import footer_of, outline_of, record_at
from thalweg.replay.records import HEAD
from thalweg.wire.batch import Batch
from thalweg.wire.commit import CHUNK_HEADER, HEADER, Commit, decode_commit
from thalweg.wire.digest import Chain
from thalweg.wire.subjects import COMMIT_PORT, parse_port

_batches = msgspec.msgpack.Decoder(Batch[msgspec.Raw])
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a port.

    Attributes:
        index: how many came before it on its port.
        sequence: of its message on the log.
        stored_ns: when the server stored that, UTC.
        time_ns: event time, UTC.
        record_id: its trace id.
        packed: the value, as msgpack.
    """

    index: int
    sequence: int
    stored_ns: int
    time_ns: int
    record_id: int
    packed: bytes


class Recording(Protocol):
    """Whatever has the records of a run."""

    def records(self, vertex: str, port: str) -> Iterator[Record]:
        """Records of an output port, in order; none of one that it does not have."""


@dataclass(frozen=True, slots=True)
class Body:
    """A message body, whole.

    Attributes:
        vertex, port: it is of.
        first: the message that it begins in.
        last: sequence of the message that it ends in.
        headers: of that one.
        data: as on the wire.
    """

    vertex: str
    port: str
    first: Entry
    last: int
    headers: dict[str, str]
    data: bytes


class Replay:
    """One file. It can be read as often as is wanted; what is damaged is noted in `faults` by whoever comes to it.

    Args:
        path: of the file.

    Raises:
        RejectedError: `replay.unreadable`, it is no replay at all.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._outline = path, outline_of(path)
        self.faults = self._outline.faults
        self.about, self.spec, self.completeness = self._outline.about, self._outline.spec, self._outline.completeness

    @property
    def account(self) -> dict[str, Any] | None:
        """What the evidence of the run says, as far as it was known when the file was closed; None where it has none."""
        found: Any = msgspec.json.decode(self._outline.account) if self._outline.account is not None else None
        return found if isinstance(found, dict) else None

    @property
    def path(self) -> Path:
        """Of the file."""
        return self._path

    @property
    def is_complete(self) -> bool:
        """Whether it says so, and nothing was found to be damaged so far."""
        return self.completeness is not None and self.completeness.complete and not self.faults

    def entries(self, topics: frozenset[str] | None = None) -> Iterator[Entry]:
        """Messages in the order of the log.

        Args:
            topics: subjects that are wanted; messages of others may come as well.
        """
        channels = Channels(lambda vertex, port: None)
        for one in self._outline.channels:
            channels.know(one)
        wanted = {channel.id for topic, channel in channels.by_topic.items() if topics is None or topic in topics}
        with self._path.open("rb") as file:
            for offset, inside in self._outline.chunks:
                if inside is not None and topics is not None and not inside & wanted:
                    continue
                try:
                    yield from list(entries_of(open_chunk(record_at(file, offset)), channels))
                except RejectedError as error:
                    self._note(f"the chunk at byte {offset:,}: {error}")

    def records(self, vertex: str, port: str) -> Iterator[Record]:
        """Records of an output port, in order."""
        index = 0
        for first, batch in self._batches(vertex, port):
            yield from records_of(batch, index, first.sequence, first.time_ns)
            index += len(batch.v)

    def last_commits(self) -> dict[str, Commit]:
        """The last commit of each vertex; reads all of it."""
        found: dict[str, str] = {}
        for entry in self.entries():
            place, text = parse_port(entry.subject), decode_headers(entry.headers).headers.get(HEADER)
            if place is not None and text is not None:
                found[place[0]] = text
        return {vertex: decode_commit(text) for vertex, text in found.items()}

    def digest(self, vertex: str, port: str) -> tuple[int, str]:
        """How many records a port has, and the digest over them as evidence has it."""
        chain, count = Chain(), 0
        for _, batch in self._batches(vertex, port):
            chain.extend([bytes(one) for one in batch.v], batch.t)
            count += len(batch.v)
        return count, chain.stored(count, 0).digest

    def raise_if_damaged(self) -> None:
        """Raises RejectedError `replay.damaged`, where something was found to be so far."""
        if self.faults:
            raise RejectedError(f"the replay is damaged: {self.faults[0]}", code="replay.damaged")

    def verify(self) -> bool:
        """Reads all of it and compares it with its own account; what differs is in `faults`. Whether it is whole."""
        counting = Counting(is_gapless=self.about.get("capture") == "all")
        for entry in self.entries():
            counting.add(entry)
        said = self.completeness
        if said is not None:
            found = counting.close({}, None)
            for subject in sorted({*said.subjects, *found.subjects}):
                if _without_written(said.subjects.get(subject)) != found.subjects.get(subject):
                    self._note(f"{subject}: what is there is not what was recorded")
            if not self._data_fits():
                self._note("the file does not fit its checksum")
        return self.is_complete

    def bodies(self, vertex: str | None = None, port: str | None = None, *, commits: bool = False) -> Iterator[Body]:
        """Whole message bodies, in the order of the log: of one port, or of all output ports of a vertex, or of all vertices.

        Args:
            vertex, port: which; None for all.
            commits: also those that hold a commit and no records.
        """
        return self._joined(partial(_is_of, vertex=vertex, port=port, commits=commits))

    def ids(self, ports: Collection[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], Sequence[int]]]:
        """Ids of the records of some (vertex, port), batch by batch in the order of the log, with the port that each is of."""
        for body in self._joined(lambda place: place in ports):
            if (batch := self.decode(body)) is not None:
                yield (body.vertex, body.port), batch.ids()

    def _joined(self, is_wanted: Callable[[tuple[str, str]], bool]) -> Iterator[Body]:
        pieces: dict[str, list[Entry]] = {}
        for entry in self.entries(self._topics(is_wanted)):
            place = parse_port(entry.subject)
            if place is None or entry.body is None or not is_wanted(place):
                continue
            headers = decode_headers(entry.headers).headers
            number, _, count = headers.get(CHUNK_HEADER, "1/1").partition("/")
            if number == "1":
                pieces[entry.subject] = []
            whole = pieces.setdefault(entry.subject, [])
            whole.append(entry)
            if number == count and len(whole) == int(count):
                del pieces[entry.subject]
                yield Body(place[0], place[1], whole[0], entry.sequence, headers, b"".join(one.body or b"" for one in whole))

    def decode(self, body: Body) -> Batch[msgspec.Raw] | None:
        """The batch in a body; None for one that is none, which is noted."""
        try:
            return _batches.decode(body.data)
        except msgspec.DecodeError as error:
            self._note(f"{body.vertex}.{body.port}: message {body.first.sequence} cannot be read: {error}")
            return None

    def _batches(self, vertex: str, port: str) -> Iterator[tuple[Entry, Batch[msgspec.Raw]]]:
        """Batches, each with the message that it begins in."""
        for body in self.bodies(vertex, port):
            if (batch := self.decode(body)) is not None:
                yield body.first, batch

    def _topics(self, is_wanted: Callable[[tuple[str, str]], bool]) -> frozenset[str] | None:
        names = [one.topic for one in self._outline.channels if hasattr(one, "topic")]
        found = frozenset(one for one in names if (place := parse_port(one)) is not None and is_wanted(place))
        return found if names else None

    def _data_fits(self) -> bool:
        """Whether the data section has the checksum that stands behind it."""
        crc, left = 0, self._data_end()
        if left is None:
            return False
        with self._path.open("rb") as file:
            while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
                crc, left = zlib.crc32(block, crc), left - len(block)
            return file.read(HEAD.size + 4) == encode(DataEnd(crc))

    def _data_end(self) -> int | None:
        with self._path.open("rb") as file:
            try:
                return footer_of(file).summary_start - HEAD.size - 4
            except RejectedError:
                return None

    def _note(self, fault: str) -> None:
        if fault not in self.faults:
            self.faults.append(fault)


def records_of(batch: Batch[msgspec.Raw], index: int, sequence: int, stored_ns: int) -> Iterator[Record]:
    """Records of a batch, the first of which is that of the index on its port."""
    for number, (value, time_ns, record_id) in enumerate(zip(batch.v, batch.t, batch.ids(), strict=True), index):
        yield Record(number, sequence, stored_ns, time_ns, record_id, bytes(value))


def _is_of(place: tuple[str, str], vertex: str | None, port: str | None, *, commits: bool) -> bool:
    """Whether a subject is that of a port; without one, of any output port of the vertex, or of any vertex."""
    is_wanted = (not place[1].startswith("_") or (commits and place[1] == COMMIT_PORT)) if port is None else place[1] == port
    return is_wanted and vertex in (None, place[0])


def _without_written(tally: Tally | None) -> Tally | None:
    return msgspec.structs.replace(tally, written=None) if tally is not None else None
