"""Files whose records can come in place of sources: replays and fixtures, seen alike."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from thalweg.errors import RejectedError
from thalweg.graph.parse import parse_type
from thalweg.graph.partitions import partition_of
from thalweg.graph.types import StreamType
from thalweg.replay.fixture import Fixture, is_fixture
from thalweg.replay.reader import Record, Replay
from thalweg.sdk.records import python_type
from thalweg.wire.capturing import captured_ports
from thalweg.wire.spec import DeploymentSpec

Types = Mapping[str, Mapping[str, StreamType]]
"""Stream type by vertex and port."""


def types_of_ports(spec: DeploymentSpec) -> dict[str, dict[str, StreamType]]:
    """What the ports of a deployment emit."""
    return {one.name: {port: parse_type(kind) for port, kind in one.outputs.items()} for one in spec.vertices}


def types_of_vertices(spec: DeploymentSpec) -> dict[str, dict[str, StreamType]]:
    """The same, of vertices with all of their partitions as well."""
    own = types_of_ports(spec)
    return own | {partition_of(name)[0]: types for name, types in own.items()}


class Feed(ABC):
    """One file.

    Attributes:
        component: name and version of the source that reads it, with `vertex` and `port` as params.
        slot: of that source, for the file.
        path: of the file.
        types: of the ports that it has records of.
    """

    component: ClassVar[tuple[str, str]]
    slot: ClassVar[str]
    path: Path
    types: Types

    @abstractmethod
    def values(self, vertex: str) -> Iterator[tuple[str, Any, int | None]]:
        """Port, decoded value and event time of each record of a vertex, in order.

        Raises:
            RejectedError: one cannot be read.
        """


class ReplayFeed(Feed):
    """A replay."""

    component, slot = ("replay-source", "1.0.0"), "replay"

    def __init__(self, path: Path) -> None:
        self.path, self._replay = path, Replay(path)
        spec = self._replay.spec
        if spec is None or self._replay.faults:
            why = next(iter(self._replay.faults), "what ran is missing")
            raise RejectedError(f"{path} is damaged: {why}", code="replay.damaged")
        there, every = set(captured_ports(spec)), types_of_ports(spec)
        went_back = {one.name for one in spec.vertices if one.rewind is not None}  # it has some of their records twice
        self.types = {
            vertex: {port: kind for port, kind in ports.items() if (vertex, port) in there}
            for vertex, ports in every.items()
            if vertex not in went_back
        }

    def values(self, vertex: str) -> Iterator[tuple[str, Any, int | None]]:
        """As `Feed`; several ports in the order in which they were written."""
        decoders = {port: msgspec.msgpack.Decoder(python_type(kind)).decode for port, kind in self.types[vertex].items()}
        told = heapq.merge(*(_named(port, self._replay.records(vertex, port)) for port in decoders), key=lambda one: one[1].sequence)
        for port, record in told:
            yield port, decoders[port](record.packed), record.time_ns
        if self._replay.faults:
            raise RejectedError(f"the replay is damaged: {self._replay.faults[0]}", code="replay.damaged")


class FixtureFeed(Feed):
    """A fixture."""

    component, slot = ("fixture-source", "1.0.0"), "fixture"

    def __init__(self, path: Path) -> None:
        self.path, self._fixture = path, Fixture(path)
        self.types = {place.partition(".")[0]: self._fixture.ports(place.partition(".")[0]) for place in self._fixture.types}

    def values(self, vertex: str) -> Iterator[tuple[str, Any, int | None]]:
        """As `Feed`."""
        for one in self._fixture.records(vertex, None):
            if one.fault is not None:
                raise RejectedError(f"{one.fault.where}: {one.fault}", code="fixture.unreadable")
            yield one.port, one.value, one.time_ns


def open_feed(path: Path, name: str | None = None) -> Feed:
    """A file by what it is called.

    Args:
        path: of it.
        name: what it is called, where that is not its path.

    Raises:
        RejectedError: `replay.…` or `fixture.…`, it cannot be read.
    """
    return FixtureFeed(path) if is_fixture(name or path.name) else ReplayFeed(path)


def values_after(feed: Feed, vertex: str, count: int) -> Iterator[tuple[str, Any, int | None]]:
    """Its values but the first `count`."""
    return islice(feed.values(vertex), count, None)


def _named(port: str, records: Iterator[Record]) -> Iterator[tuple[str, Record]]:
    return ((port, one) for one in records)
