"""Records a run in memory as it would have been captured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from thalweg.graph.pipeline import Pipeline
from thalweg.graph.plan import PlannedVertex, check_pipeline
from thalweg.replay.recorder import Recorder
from thalweg.sdk.catalog import Catalog
from thalweg.testing.run import run_plan
from thalweg.wire import subjects
from thalweg.wire.commit import HEADER, Commit, encode_commit
from thalweg.wire.logged import Logged
from thalweg.wire.planned import bound_artifact, spec_of
from thalweg.wire.spec import DeploymentSpec, VertexSpec
from unit.replay.logs import ABOUT


def _vertex(planned: PlannedVertex, artifacts: Mapping[str, str]) -> VertexSpec:
    given = {full.partition(".")[2]: bound_artifact(one) for full, one in artifacts.items() if full.partition(".")[0] == planned.name}
    return spec_of(planned, given)


def capture(path: Path, content: dict[str, Any], catalog: Catalog, base: Path, artifacts: Mapping[str, str] = MappingProxyType({})) -> Path:
    """Runs a pipeline and writes its replay; the path.

    Args:
        path: where.
        content, catalog, base: what to run.
        artifacts: what the replay names as bound: vertex.slot -> artifact id.
    """
    plan = check_pipeline(Pipeline.model_validate(content), catalog, base)
    results = run_plan(plan, catalog, workdir=path.parent)
    spec = DeploymentSpec("w", "d", plan.pipeline.backend, [_vertex(one, artifacts) for one in plan.vertices], capture="all")
    types = {(one.name, port): kind for one in spec.vertices for port, kind in one.outputs.items()}
    out = Recorder(path, ABOUT, msgspec.json.encode(spec), lambda vertex, port: types.get((vertex, port)), is_gapless=True)
    sequence, written = 0, {}
    for vertex, port in types:
        messages = results[vertex].messages[port]
        for number, message in enumerate(messages, 1):
            sequence += 1
            commit = encode_commit(Commit(1, number, watermark=message.watermark, ended=message.ended))
            out.add(Logged(subjects.port("w", "d", vertex, port), sequence, 10**18 + sequence, {HEADER: commit}, message.body))
        written[vertex, port] = len(results[vertex].outputs[port])
    assert out.seal(written, None).complete
    return path
