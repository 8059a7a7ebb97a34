"""fixture-source: records of a fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import At, Bad, Emit, InputFile, component
from thalweg.errors import RejectedError
from thalweg.graph.types import StreamType
from thalweg.replay.fixture import Fixture, Place

T = TypeVar("T")


class Params(BaseModel):
    """Whose records."""

    model_config = ConfigDict(extra="forbid")

    vertex: str = Field(description="vertex whose records they were")
    port: str | None = Field("out", description="its port, emitted on `out`; null: all of them, under their own names")


@component("fixture-source", version="1.0.0")
class FixtureSource:
    """Reads the records of a port out of a fixture, a file of JSON lines that was captured from a live deployment and may be edited.

    **Emits** on `out` the records of one port, of the type that the first line of the file says, at the event times in it; a record
    without one is at its ordinal.

    **Files**: `fixture`: as `thalweg replay capture-fixture` writes it.

    **Params**: `vertex`, `port` (`out` by default).

    **Faults**: a line that is no record of its port's type is a faulty record that names the line (from 1) and the path in it.

    **Resumes** at the byte behind the last committed line.
    """

    params: Params
    fixture: Annotated[InputFile, "bytes"]
    outputs: ClassVar[dict[str, Any]] = {"out": T}

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The types that the file says."""
        if "fixture" not in files:
            raise RejectedError("the types cannot be known", code="file.missing", hint="bind the fixture as a local file")
        found = Fixture(files["fixture"]).ports(params.vertex)
        if params.port is None:
            return found
        if params.port not in found:
            hint = f"that vertex has {', '.join(found)}" if found else "it has no such vertex"
            raise RejectedError(f"the fixture has no port {params.vertex}.{params.port}", code="port.unknown", hint=hint)
        return {"out": found[params.port]}

    def read(self, cursor: list[int] | None) -> Iterator[At[Any] | Bad]:
        """Records behind the cursor `[byte offset, lines read]`."""
        place = Place(*cursor) if cursor is not None else None
        for one in Fixture(self.fixture.path).records(self.params.vertex, self.params.port, place):
            behind = [one.behind.offset, one.behind.line]
            if one.fault is not None:
                yield Bad(one.fault, one.raw, behind)
            elif self.params.port is not None:
                yield At(one.value, behind, one.time_ns)
            else:
                yield At(Emit(one.value, port=one.port), behind, one.time_ns)
