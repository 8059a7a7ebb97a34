"""Runs what was captured again, in memory, on its recorded records: a replay as the fixture of a test."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from thalweg.errors import RejectedError
from thalweg.graph.pipeline import Vertex
from thalweg.graph.plan import check_pipeline
from thalweg.replay.compare import Difference, first_difference, upstream_first
from thalweg.replay.counting import PortChange, port_changes
from thalweg.replay.feeding import FedReleases, content_of, fed, pinned
from thalweg.replay.feeds import types_of_vertices
from thalweg.replay.ordering import order_of, plan_orders
from thalweg.replay.partial import check_rerun, compare_within, is_window
from thalweg.replay.reader import Record, Replay, records_of
from thalweg.replay.standing_in import Wishes, plan_stand_ins, unanswered
from thalweg.runtime.assemble import in_rank_order
from thalweg.runtime.recorded_order import RecordedOrder
from thalweg.sdk.catalog import Catalog
from thalweg.sdk.release import ComponentRelease
from thalweg.testing.run import Result, run_plan
from thalweg.wire.batch import Batch
from thalweg.wire.capturing import captured_ports
from thalweg.wire.planned import spec_of, split
from thalweg.wire.receipts import receipt_ports
from thalweg.wire.spec import VertexSpec

_batches = msgspec.msgpack.Decoder(Batch[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Rerun:
    """What came of it.

    Attributes:
        results: of every vertex, by name.
        changes: how each port that was captured and was not given differs from the replay, upstream ones first.
        first: the first record that differs; None where none does.
        answered: vertices that are not deterministic, and gave what they gave then for each record.
        notes: what is to be known beside it, as lines.
    """

    results: dict[str, Result]
    changes: list[PortChange]
    first: Difference | None
    answered: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return all(one.is_same for one in self.changes)

    def __str__(self) -> str:
        told = self.first.lines() if self.first is not None else []
        return "\n".join([*self.notes, *(one.line() for one in self.changes), *told])


def run_replay(
    replay: Path,
    *,
    catalog: Catalog | None = None,
    sets: Mapping[str, Any] | None = None,
    pins: Mapping[str, str] | None = None,
    recorded: Collection[str] = (),
    live: Collection[str] = (),
    files: dict[str, Path] | None = None,
    workdir: Path | None = None,
) -> Rerun:
    """Runs the graph of a replay in memory with the recorded records in place of its sources, and compares.

    Args:
        replay: the .mcap file.
        catalog: where components are found, whatever digests are pinned; default is the standard library.
        sets: other params: "vertex.param" -> value.
        pins: other releases: vertex -> name@version.
        recorded: vertices beside the sources that do not run, but are given as they were recorded.
        live: vertices that are not deterministic, and run all the same; others are answered by the replay, where it has them.
        files: local path of each input file: "vertex.slot" -> path.
        workdir: where generated files go.

    Raises:
        RejectedError: the replay cannot be read, lacks records of a source (`replay.no_input`), the graph has faults, or it is a window
            before which something was that has a part in it (`replay.window`).
        RunFailedError: a vertex failed.
    """
    before, found = Replay(replay), catalog or Catalog()
    ran = before.spec
    if before.faults or ran is None:
        raise RejectedError(f"{replay} is damaged: {next(iter(before.faults), 'what ran is missing')}", code="replay.damaged")
    content = pinned(content_of(ran), pins or {}, {one.component for one in ran.vertices})
    _set(content, sets or {})
    stand_ins = plan_stand_ins(content, before, ran, Wishes(recorded, live), found)
    for full, path in (files or {}).items():
        vertex, _, slot = full.partition(".")
        if vertex in content["vertices"]:
            content["vertices"][vertex]["files"][slot] = str(path.resolve())
    pipeline, replaced = fed(content, ran, replay.resolve(), stand_ins.given, answered=stand_ins.answered)
    _check_files(pipeline.vertices)
    plan = check_pipeline(pipeline, FedReleases(found, types_of_vertices(ran)), replay.parent)
    plan.raise_if_faulty()
    if is_window(before):
        check_rerun(plan)
    orders, notes = plan_orders(split([spec_of(one) for one in plan.vertices], plan.vertices), ran)

    def recorded_order(spec: VertexSpec, release: ComponentRelease) -> RecordedOrder | None:
        return order_of(before, spec, in_rank_order(spec, release), orders[spec.name]) if spec.name in orders else None

    results = run_plan(plan, found, workdir=workdir, order_of=recorded_order)
    there = [one for one in upstream_first(ran) if one in captured_ports(ran) and one[0] not in replaced]
    after = _InMemory(results)
    if is_window(before):
        return Rerun(results, *compare_within(before, after, ran, replaced, there), stand_ins.answered, [*notes, *stand_ins.notes])
    changes = port_changes(before, after, there, receipt_ports(ran))
    differing = [(one.vertex, one.port) for one in changes if not one.is_same]
    dead = {name: one.counters.dead for name, one in results.items()}
    notes += [*stand_ins.notes, *unanswered(stand_ins.answered, dead)]
    return Rerun(results, changes, first_difference(before, after, differing), stand_ins.answered, notes)


def _set(content: dict[str, Any], sets: Mapping[str, Any]) -> None:
    for path, value in sets.items():
        vertex, *parts = path.split(".")
        if vertex not in content["vertices"] or not parts:
            raise RejectedError(f"{path}: not of the form vertex.param of a vertex that is there", code="override.invalid")
        holder = content["vertices"][vertex]["params"]
        for part in parts[:-1]:
            holder = holder.setdefault(part, {})
        holder[parts[-1]] = value


def _check_files(vertices: Mapping[str, Vertex]) -> None:
    for name, vertex in vertices.items():
        for slot, text in vertex.files.items():
            if text.startswith("sha256:"):
                hint = f'files={{"{name}.{slot}": path}}'
                raise RejectedError(f"{name} reads a file in slot {slot}, which the replay does not have", code="file.missing", hint=hint)


class _InMemory:
    """Records of a run in memory."""

    def __init__(self, results: Mapping[str, Result]) -> None:
        self._results = results

    def records(self, vertex: str, port: str) -> Iterator[Record]:
        """Records of a port, in order."""
        index = 0
        result = self._results.get(vertex)
        for message in result.messages.get(port, []) if result is not None else []:
            batch = _batches.decode(message.body)
            yield from records_of(batch, index, message.first, 0)
            index += len(batch.v)
