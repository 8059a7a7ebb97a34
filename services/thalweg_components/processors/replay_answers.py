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
        return {port: parse_type(kind) for port, kind in _vertex(Replay(files["replay"]), params.vertex).outputs.items()}

    def setup(self, context: Context) -> None:
        """Reads the answers."""
        replay = Replay(self.replay.path)
        spec = _vertex(replay, self.params.vertex)
        (edge,) = spec.inputs
        self._answers = Answers(replay, (edge.src_vertex, edge.src_port), [(spec.name, port) for port in spec.outputs])
        self._decoders = {port: msgspec.msgpack.Decoder(python_type(parse_type(kind))) for port, kind in spec.outputs.items()}

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


def _vertex(replay: Replay, name: str) -> Any:
    found: Any = next((one for one in replay.spec.vertices if one.name == name), None) if replay.spec is not None else None
    if found is None or len(found.inputs) != 1:
        what = "has no such vertex" if found is None else "had it with several inputs"
        raise RejectedError(f"the replay has no answers of {name!r}: it {what}", code="vertex.unknown")
    return found
