"""replay-answers: gives for each record what a vertex gave for it in a run that was captured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, Emit, InputFile, RecordError, component
from thalweg.errors import RejectedError
from thalweg.graph.parse import parse_type
from thalweg.graph.partitions import partition_of
from thalweg.graph.types import StreamType
from thalweg.replay.answers import Answers
from thalweg.replay.reader import Replay
from thalweg.sdk.records import python_type

T = TypeVar("T")
U = TypeVar("U")


class Params(BaseModel):
    """Whose answers."""

    model_config = ConfigDict(extra="forbid")

    vertex: str = Field(description="vertex that gave them; it had one input")


@component("replay-answers", version="1.0.0")
class ReplayAnswers:
    """Gives for each record what a vertex gave for it in a run that was captured: for lookups and models whose answers change.

    **Ports**: `in` takes the records that the vertex took, known by their ids; `out` emits what it put out, as it was: values, event
    times and ids.

    **Files**: `replay`: the MCAP file of that run. It must have the vertex's ports, and the port that the vertex read.

    **Params**: `vertex`: its name there.

    **Faults**: a record that the vertex was not given in that run is a faulty record. A replay that lacks the vertex or is damaged fails
    the vertex.
    """

    params: Params
    replay: Annotated[InputFile, "bytes"]
    outputs: ClassVar[dict[str, Any]] = {"out": U}

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The types that the ports had in the run."""
        if "replay" not in files:
            raise RejectedError("the types cannot be known", code="file.missing", hint="bind the replay as a local file")
        return {port: parse_type(kind) for port, kind in _parts(Replay(files["replay"]), params.vertex)[0].outputs.items()}

    def setup(self, context: Context) -> None:
        """Reads the answers."""
        replay = Replay(self.replay.path)
        parts = _parts(replay, self.params.vertex)
        edge, outputs = parts[0].inputs[0], parts[0].outputs
        self._answers = Answers(replay, (edge.src_vertex, edge.src_port), [(one.name, port) for one in parts for port in outputs])
        self._decoders = {port: msgspec.msgpack.Decoder(python_type(parse_type(kind))) for port, kind in outputs.items()}

    def process(self, record: T, context: Context) -> Iterator[Emit[U]]:
        """What it was answered then."""
        found = self._answers.of(context.record_id)
        if found is None:
            raise RecordError(f"the recorded run has no answer of {self.params.vertex} for it", where=f"record {context.record_id:016x}")
        for one in found:
            yield Emit(self._decoders[one.port].decode(one.packed), port=one.port, time_ns=one.time_ns)

    def close(self) -> None:
        """Lets the answers go."""
        if hasattr(self, "_answers"):
            self._answers.close()


def _parts(replay: Replay, name: str) -> list[Any]:
    """The partitions of the vertex, or the vertex alone."""
    vertices: list[Any] = replay.spec.vertices if replay.spec is not None else []
    found = [one for one in vertices if partition_of(one.name)[0] == name]
    if not found or len(found[0].inputs) != 1:
        what = "had it with several inputs" if found else "has no such vertex"
        raise RejectedError(f"the replay has no answers of {name!r}: it {what}", code="vertex.unknown")
    return found
