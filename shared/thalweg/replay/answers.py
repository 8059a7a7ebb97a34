"""What a vertex gave for each of its input records in a run that was captured, looked up by the record's id."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from thalweg.replay.reader import Replay
from thalweg.wire import ids

Port = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """One record that it gave: its port, its value as msgpack, its event time (UTC ns)."""

    port: str
    packed: bytes
    time_ns: int


class Answers:
    """The answers of one vertex. Values are in a temporary file; in memory, some 150 bytes stay for each record.

    Args:
        replay: of the run.
        source: the port that it read.
        ports: of its own.

    Raises:
        RejectedError: `replay.damaged`.
        OSError: the temporary file cannot be written.
    """

    def __init__(self, replay: Replay, source: Port, ports: list[Port]) -> None:
        self._ports, self._file = [port for _, port in ports], tempfile.TemporaryFile()  # noqa: SIM115
        self._known = {one for _, some in replay.ids([source]) for one in some}
        self._index: dict[int, int] = {}
        self._ends, self._times, self._of = array("Q", [0]), array("q"), array("H")
        for number, (vertex, port) in enumerate(ports):
            for record in replay.records(vertex, port):
                self._index[record.record_id] = len(self._times)
                self._file.write(record.packed)
                self._ends.append(self._ends[-1] + len(record.packed))
                self._times.append(record.time_ns)
                self._of.append(number)
        replay.raise_if_damaged()

    def of(self, record_id: int) -> list[Answer] | None:
        """What it gave for a record, in order; None where it was never given that record."""
        if record_id not in self._known:
            return None
        return [self._answer(self._index[one]) for one in _answered(record_id, self._index.__contains__)]

    def _answer(self, index: int) -> Answer:
        start, end = self._ends[index], self._ends[index + 1]
        self._file.seek(start)
        return Answer(self._ports[self._of[index]], self._file.read(end - start), self._times[index])

    def close(self) -> None:
        """Removes the temporary file."""
        self._file.close()


def answers_all(replay: Replay, source: Port, ports: list[Port]) -> bool:
    """Whether all that a vertex gave was for a single record that it read: nothing at a watermark, or at its end.

    Raises:
        RejectedError: `replay.damaged`.
    """
    read, given = set[int](), set[int]()
    for port, some in replay.ids([source, *ports]):
        (read if port == source else given).update(some)
    replay.raise_if_damaged()
    explained = sum(1 for record_id in read for _ in _answered(record_id, given.__contains__))
    return explained == len(given)


def _answered(record_id: int, is_there: Callable[[int], bool]) -> Iterator[int]:
    """Ids of the records that were made of one, as the runtime numbers them."""
    one, count = record_id, 0
    while is_there(one):
        yield one
        count += 1
        one = ids.derived(record_id, count)
