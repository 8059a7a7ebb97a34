"""Records a run in memory as it would have been captured."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from thalweg.graph.pipeline import Pipeline
from thalweg.graph.plan import PlannedVertex, check_pipeline
from thalweg.replay.recorder import Recorder
from thalweg.runtime.inputs import Message
from thalweg.runtime.recorded_order import RecordedOrder
from thalweg.sdk.catalog import Catalog
from thalweg.sdk.release import ComponentRelease
from thalweg.testing.run import Result, run_plan
from thalweg.wire import subjects
from thalweg.wire.batch import batch_decoder, encode_batch
from thalweg.wire.capturing import captured_ports
from thalweg.wire.commit import HEADER, Commit, encode_commit
from thalweg.wire.logged import Logged
from thalweg.wire.partitions import indexes
from thalweg.wire.planned import bound_artifact, spec_of, split
from thalweg.wire.spec import DeploymentSpec, VertexSpec
from unit.replay.logs import ABOUT

Placed = tuple[tuple[str, str], Message]
_batches = batch_decoder(msgspec.Raw)


def _vertex(planned: PlannedVertex, artifacts: Mapping[str, str]) -> VertexSpec:
    given = {full.partition(".")[2]: bound_artifact(one) for full, one in artifacts.items() if full.partition(".")[0] == planned.name}
    return spec_of(planned, given)


def capture(
    path: Path,
    content: dict[str, Any],
    catalog: Catalog,
    base: Path,
    artifacts: Mapping[str, str] = MappingProxyType({}),
    *,
    arrived: int | None = None,
    captured: str = "all",
) -> Path:
    """Runs a pipeline and writes its replay; the path.

    Args:
        path: where.
        content, catalog, base: what to run.
        artifacts: what the replay names as bound: vertex.slot -> artifact id.
        arrived: seed of the order in which messages of sources are on the log, and vertices take them that take them as they come.
        captured: what is captured.
    """
    plan = check_pipeline(Pipeline.model_validate(content), catalog, base)
    spec = DeploymentSpec(
        "w", "d", plan.pipeline.backend, split([_vertex(one, artifacts) for one in plan.vertices], plan.vertices), capture=captured
    )
    results = run_plan(plan, catalog, workdir=path.parent)
    log = _log_of_sources(spec, results, random.Random(arrived))

    def order_of(vertex: VertexSpec, release: ComponentRelease) -> RecordedOrder | None:
        if not vertex.is_by_arrival:
            return None
        edges = {(one.src_vertex, one.src_port): one.key for one in vertex.inputs}
        order = RecordedOrder(list(edges.values()))
        for place, message in log:
            if place in edges:
                ids = _batches.decode(message.body).ids()
                order.add(edges[place], [ids[n] for n in indexes(vertex.share, [], ids)] if vertex.share is not None else ids)
        return order

    if arrived is not None:
        results = run_plan(plan, catalog, workdir=path.parent, order_of=order_of)
    sources = {one.name for one in spec.vertices if not one.inputs}
    rest = [((one.name, port), message) for one in spec.vertices for port in one.outputs for message in results[one.name].messages[port]]
    _write(path, spec, [*log, *(one for one in rest if one[0][0] not in sources)])
    return path


def _log_of_sources(spec: DeploymentSpec, results: Mapping[str, Result], rng: random.Random) -> list[Placed]:
    """Source by source as they come; in messages of few records, so that there is something to shuffle."""
    queues = {
        (one.name, port): [piece for message in results[one.name].messages[port] for piece in _pieces(message)]
        for one in spec.vertices
        if not one.inputs
        for port in one.outputs
    }
    log = []
    while left := sorted(place for place, queue in queues.items() if queue):
        place = rng.choice(left)
        log.append((place, queues[place].pop(0)))
    return log


def _pieces(message: Message) -> list[Message]:
    batch = _batches.decode(message.body)
    ids, progress, found = list(batch.ids()), batch.progress(), list[Message]()
    for low in range(0, max(len(batch.v), 1), 3):
        part = slice(low, low + 3)
        body = encode_batch([bytes(one) for one in batch.v[part]], batch.t[part], ids[part], progress[part], None)
        is_last = low + 3 >= len(batch.v)
        watermark = message.watermark if is_last else progress[part][-1]
        found.append(replace(message, body=body, watermark=watermark, ended=message.ended and is_last))
    return found


def _write(path: Path, spec: DeploymentSpec, log: list[Placed]) -> None:
    types = {(one.name, port): kind for one in spec.vertices for port, kind in one.outputs.items()}
    out = Recorder(path, ABOUT, msgspec.json.encode(spec), lambda vertex, port: types.get((vertex, port)), is_gapless=True)
    there, written = set(captured_ports(spec)), Counter[tuple[str, str]]()
    for sequence, (place, message) in enumerate((one for one in log if one[0] in there), 1):
        commit = encode_commit(Commit(1, message.first, watermark=message.watermark, ended=message.ended))
        out.add(Logged(subjects.port("w", "d", *place), sequence, 10**18 + sequence, {HEADER: commit}, message.body))
        written[place] += len(_batches.decode(message.body).v)
    assert out.seal(written, None).complete
