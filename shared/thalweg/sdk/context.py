"""What a running component may ask: event time, seeded randomness, its ports' types, its position."""

from __future__ import annotations

import logging
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from thalweg.graph.types import StreamType
from thalweg.sdk.values import Place

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Context:
    """Given to a component that asks for it; everything it answers depends on the record alone, so that runs reproduce.

    Attributes:
        vertex: name of the vertex.
        time_ns: event time of the current record, UTC ns.
        record_id: stable id of the current record, the key of what a sink sends outside.
        record_ids: those of a batch, where the component takes batches.
        places: where the records of a batch stand on the log, for a sink that keeps its place in the target.
        port: input port of the current record.
        position: where the current record is in the input, as text.
        run: names this life of the deployment, over restarts and redeploys; places are places of its log. A sink that keeps something
            for itself in its target keeps it under `run` and `vertex`.
        epoch: which copy of the vertex this is; a target that knows a higher one is to refuse what this one writes.
        rewound: the generation in which the vertex last went back to deliver again; 0 where it never did.
        formers: retired partitions of the vertex, by name, with their last `rewound`: in the target, their places count for the records
            that fell to them.
        hold_back_ns: how far behind the watermark `on_watermark` and `finish` may still emit; None: at any time. To be set in
            `setup` by a component that knows better than None, so that those who merge its output need not wait for the end.
    """

    def __init__(self, vertex: str, inputs: dict[str, StreamType], outputs: dict[str, StreamType], classes: dict[str, Any]) -> None:
        self.vertex = vertex
        self.time_ns, self.record_id, self.port, self.position = 0, 0, "in", ""
        self.record_ids: list[int] = []
        self.places: list[Place] = []
        self.run, self.epoch, self.rewound = "", 0, 0
        self.formers: dict[str, int] = {}
        self.logger = logging.getLogger(f"thalweg.vertex.{vertex}")
        self.late_count = self.dropped_count = 0
        self.hold_back_ns: int | None = None
        self._inputs, self._outputs, self._classes = inputs, outputs, classes

    def now(self) -> datetime:
        """Event time of the current record, UTC; never the wall clock."""
        return _EPOCH + timedelta(microseconds=self.time_ns // 1000)

    @property
    def random(self) -> random.Random:
        """Random numbers seeded by the current record's id: the same record gets the same ones in every run."""
        return random.Random(self.record_id)

    def record_class(self, port: str = "out") -> Any:
        """Class that builds records of an output port whose type was resolved from the graph."""
        return self._classes[port]

    def input_type(self, port: str = "in") -> StreamType:
        """Stream type that arrives at an input port."""
        return self._inputs[port]

    def output_type(self, port: str = "out") -> StreamType:
        """Stream type of an output port."""
        return self._outputs[port]

    def count_late(self, count: int = 1) -> None:
        """Counts records that came after their window had closed."""
        self.late_count += count

    def count_dropped(self, count: int = 1) -> None:
        """Counts what a live source has taken from outside and let go of, as there was no room for it; on the thread that it runs on."""
        self.dropped_count += count
