"""A vertex that writes files starts again from its spool, whatever it had come to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from thalweg import Context, GeneratedFile, component
from thalweg.graph.derive import stream_type
from thalweg.graph.parse import parse_type
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Limits
from thalweg.runtime.inputs import Message
from thalweg.runtime.loop import Left, VertexLoop
from thalweg.runtime.spool import Spool
from thalweg.wire.commit import Commit, Generated
from unit.runtime.memory_log import MemoryLog
from unit.runtime.simulator import stream, vertex_spec


@component("sum-file", version="1.0.0")
class SumFile:
    """Leaves the sum of all numbers."""

    file: Annotated[GeneratedFile, "text", "sum.txt"]

    def setup(self, context: Context) -> None:
        """Begins at 0."""
        self.total = 0

    def process(self, n: int) -> None:
        """Adds a number."""
        self.total += n

    def finish(self, context: Context) -> None:
        """Writes the sum."""
        self.file.path.write_text(str(self.total))


async def test_one_that_was_killed_at_its_end_still_stores_its_files(tmp_path: Path) -> None:
    spec, release = vertex_spec(SumFile, {"in": stream_type(int)})
    key, path = spec.inputs[0].key, tmp_path / "sum.txt"
    messages = [Message(key, one.first, one.last, one.body, one.watermark, one.ended) for one in stream(list(range(12)))]
    spool = Spool(tmp_path / "spool")
    for message in messages:
        spool.append(message)
    spool.close()
    engine = assemble(spec, release, {}, {"file": path}, Limits(), parse_type)
    log = MemoryLog(messages, [Commit(epoch=1, number=5, positions={key: (2, 1)})])

    def upload() -> Left:
        return Left({"file": Generated("sum.txt", f"sha256:{path.read_text()}", path.stat().st_size)})

    await VertexLoop(engine, log, Spool(tmp_path / "spool"), upload).run()
    assert log.commits[-1].ended and log.commits[-1].generated["file"].artifact == f"sha256:{sum(range(12))}"
