"""replay-source: records of a run that was captured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import InputFile, component
from thalweg.errors import RejectedError
from thalweg.graph.parse import parse_type
from thalweg.graph.types import StreamType
from thalweg.replay.commits import Window, recorded_commits
from thalweg.replay.reader import Replay
from thalweg.sdk.values import Recorded

T = TypeVar("T")


class Params(BaseModel):
    """Whose records."""

    model_config = ConfigDict(extra="forbid")

    vertex: str = Field(description="vertex that has put them out")
    port: str | None = Field("out", description="its port, emitted on `out`; null: all of them, under their own names")
    from_ns: int | None = Field(None, description="only records from this event time on, UTC ns")
    to_ns: int | None = Field(None, description="only records before this event time, UTC ns")
    count: int | None = Field(None, ge=0, description="only so many records of each port")


@component("replay-source", version="1.0.0")
class ReplaySource:
    """Reads the records of a port out of a replay, as they were: values, event times, ids and progress times.

    **Emits** on `out` the records of one port of the run, of the type that it had there.

    **Files**: `replay`: the MCAP file of a run that was captured.

    **Params**: `vertex`, `port` (`out` by default); `from_ns`, `to_ns` (event times), `count`: only some of the records.

    **Faults**: a replay that does not have the port, or is damaged where it is read, fails the vertex.

    **Resumes** behind the last commit that it has passed on.
    """

    params: Params
    replay: Annotated[InputFile, "bytes"]
    outputs: ClassVar[dict[str, Any]] = {"out": T}

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The types that the ports had in the run."""
        if "replay" not in files:
            raise RejectedError("the types cannot be known", code="file.missing", hint="bind the replay as a local file")
        found = _types(Replay(files["replay"]), params.vertex)
        if params.port is None:
            return found
        if params.port not in found:
            raise RejectedError(f"the replay has no port {params.vertex}.{params.port}", code="port.unknown", hint=_has(found))
        return {"out": found[params.port]}

    def read(self, cursor: int | None) -> Iterator[Recorded]:
        """Commits behind the sequence `cursor`."""
        replay = Replay(self.replay.path)
        window = Window(self.params.from_ns, self.params.to_ns, self.params.count)
        yield from recorded_commits(replay, self.params.vertex, self.params.port, cursor or 0, window)
        if replay.faults:
            raise RejectedError(f"the replay is damaged: {replay.faults[0]}", code="replay.damaged")


def _types(replay: Replay, vertex: str) -> dict[str, StreamType]:
    vertices: list[Any] = replay.spec.vertices if replay.spec is not None else []
    return {port: parse_type(kind) for one in vertices if one.name == vertex for port, kind in one.outputs.items()}


def _has(found: dict[str, StreamType]) -> str:
    return f"that vertex has {', '.join(found)}" if found else "it has no such vertex"
