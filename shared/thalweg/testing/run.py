"""Runs engines over in-memory messages, vertex by vertex in topological order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from thalweg.errors import RunFailedError
from thalweg.graph.derive import stream_type
from thalweg.graph.parse import parse_type
from thalweg.graph.partitions import partition_of
from thalweg.graph.pipeline import Pipeline, load_pipeline
from thalweg.graph.plan import Plan, check_pipeline
from thalweg.graph.types import JSON, OptionalOf, Record, StreamType, format_type
from thalweg.replay.feeding import FedReleases, replaced
from thalweg.replay.feeds import open_feed
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Engine, Limits
from thalweg.runtime.inputs import BEGINNING, Message
from thalweg.runtime.recorded_order import RecordedOrder
from thalweg.sdk.catalog import Catalog
from thalweg.sdk.component import component_of
from thalweg.sdk.conform import conformer
from thalweg.sdk.records import python_type
from thalweg.sdk.release import ComponentRelease
from thalweg.testing.vertex import vertex_of
from thalweg.wire.batch import batch_decoder, encode_batch
from thalweg.wire.boundary import inlet_body
from thalweg.wire.commit import END_OF_TIME, Counters
from thalweg.wire.ids import source_base
from thalweg.wire.planned import spec_of, split
from thalweg.wire.spec import INLET_KEY, VertexSpec

_encode = msgspec.msgpack.Encoder().encode


@dataclass
class Result:
    """What a vertex did.

    Attributes:
        outputs: emitted values by port.
        times: event times (ns) by port.
        digests: hash chain by port, hex.
        generated: path of each generated file by slot.
        counters: records in, out, filtered, dead, late, errors.
        dead: dead letters, each with `where` and `error`.
    """

    outputs: dict[str, list[Any]] = field(default_factory=dict)
    times: dict[str, list[int]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    generated: dict[str, Path] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    dead: list[dict[str, Any]] = field(default_factory=list)
    messages: dict[str, list[Message]] = field(default_factory=dict)

    @property
    def out(self) -> list[Any]:
        """Values of the port `out`."""
        return self.outputs.get("out", [])

    @property
    def digest(self) -> str:
        """Digest of the port `out`."""
        return self.digests["out"]


def run_component(
    component: Any,
    records: list[Any] | dict[str, list[Any]] | None = None,
    params: dict[str, Any] | None = None,
    files: dict[str, Path] | None = None,
    times: list[int] | dict[str, list[int]] | None = None,
    in_type: StreamType | dict[str, StreamType] | None = None,
    workdir: Path | None = None,
    *,
    on_error: str = "fail",
    batch: int = 7,
    secrets: Mapping[str, str] = MappingProxyType({}),
) -> Result:
    """Runs one component over records, as a vertex would, to the end.

    Args:
        component: a decorated function or class.
        records: input records, or a list of them per input port; none for a source.
        params: params as in a pipeline file.
        files: local path per input file slot.
        times: event time (ns) of each record; default is its ordinal.
        in_type: stream type of the records; default is taken from the first one.
        workdir: where generated files go; default is a new temporary folder.
        on_error: `fail`, `dead-letter` or `retry`.
        batch: records per message; results never depend on it.
        secrets: value per secret slot.

    Raises:
        RunFailedError: as the vertex would fail.
        RejectedError: params, types or files are not accepted.
    """
    release = ComponentRelease(component_of(component), component.__module__)
    given = records if isinstance(records, dict) else {"in": records or []} if release.inputs else {}
    stated = in_type if isinstance(in_type, dict) else dict.fromkeys(given, in_type)
    kinds = {port: stated.get(port) or infer_type(values) for port, values in given.items()}
    spec = vertex_of(release, "test", kinds, params, on_error, files)  # type: ignore[arg-type]
    messages = []
    for edge, (port, values) in zip(spec.inputs, given.items(), strict=True):
        at = times.get(port) if isinstance(times, dict) else times
        messages += pack(edge.key, values, at or list(range(len(values))), kinds[port], batch)
    return _run(spec, release, files or {}, messages, workdir, secrets)


def run_graph(
    pipeline: Path | Pipeline,
    *,
    base: Path | None = None,
    files: dict[str, Path] | None = None,
    catalog: Catalog | None = None,
    workdir: Path | None = None,
    inputs: dict[str, list[Any]] | None = None,
    replay: Path | None = None,
    replace: Collection[str] = (),
) -> dict[str, Result]:
    """Runs a pipeline file in memory; the result of every vertex by its name.

    Args:
        pipeline: the file, or its loaded content (then give `base`).
        base: folder that its paths are relative to.
        files: replaces bound files: "vertex.slot" -> path.
        catalog: where components are found; default is the standard library.
        workdir: where generated files go.
        inputs: values sent to an input endpoint, by the name of its vertex; they need not be of its type.
        replay: a replay or fixture, whose records come in place of sources and input endpoints.
        replace: which of them; without any, all.

    Raises:
        RejectedError: the pipeline has faults.
        RunFailedError: a vertex failed.
    """
    loaded = load_pipeline(pipeline) if isinstance(pipeline, Path) else pipeline
    folder = base or (pipeline.parent if isinstance(pipeline, Path) else Path())
    found = catalog or Catalog()
    if replay is None:
        return run_plan(check_pipeline(loaded, found, folder), found, files, workdir, inputs)
    feed = open_feed(replay)
    content, names = replaced(loaded.model_dump(mode="json"), feed, replace)
    plan = check_pipeline(Pipeline.model_validate(content), FedReleases(found, feed.types), folder)
    kept = {full: path for full, path in (files or {}).items() if full.partition(".")[0] not in names}
    return run_plan(plan, found, kept, workdir, inputs)


def run_plan(
    plan: Plan,
    found: Catalog,
    files: dict[str, Path] | None = None,
    workdir: Path | None = None,
    inputs: dict[str, list[Any]] | None = None,
    order_of: Callable[[VertexSpec, ComponentRelease], RecordedOrder | None] = lambda spec, release: None,
) -> dict[str, Result]:
    """Runs a plan in memory, as `run_graph` does; `order_of` says which vertices take their inputs in the order of another run."""
    plan.raise_if_faulty()
    results: dict[str, Result] = {}
    vertices = {one.name: one for one in plan.vertices}
    for spec in split([spec_of(one) for one in plan.vertices], plan.vertices):
        planned = vertices[partition_of(spec.name)[0]]
        release = found.find(planned.manifest.name, planned.manifest.version)
        assert release is not None
        local = {slot: Path(path) for slot, path in planned.files.items()}
        local |= {slot: path for full, path in (files or {}).items() for vertex, _, slot in [full.partition(".")] if vertex == planned.name}
        messages = [
            Message(edge.key, message.first, message.last, message.body, message.watermark, message.ended)
            for edge in spec.inputs
            for message in results[edge.src_vertex].messages[edge.src_port]
        ]
        if spec.endpoint == "in":
            messages = send(spec.name, (inputs or {}).get(spec.name, []))
        results[spec.name] = _run(spec, release, local, messages, workdir, order=order_of(spec, release))
    return results


def infer_type(values: list[Any]) -> StreamType:
    """The stream type of plain test values: that of the first one; dicts become records, with None as optional."""
    if not values:
        return JSON
    first = values[0]
    if isinstance(first, dict):
        return Record(tuple((key, _field_type(key, values)) for key in first))
    if isinstance(first, bool | int | float | str | bytes | datetime | timedelta):
        return stream_type(float if isinstance(first, int) and any(type(v) is float for v in values) else type(first))
    return stream_type(type(first))


def _field_type(key: str, values: list[Any]) -> StreamType:
    known = [value[key] for value in values if value.get(key) is not None]
    if known and isinstance(known[0], list):
        inner: StreamType = stream_type(list[Any]) if not known[0] else parse_type(f"list[{format_type(infer_type(known[0]))}]")
    else:
        inner = infer_type(known)
    return OptionalOf(inner) if len(known) < len(values) else inner


def pack(edge: str, values: list[Any], times: list[int], kind: StreamType, batch: int) -> list[Message]:
    """Messages as an upstream vertex would have written them."""
    conform, base, out = conformer(kind, edge), source_base(edge), list[Message]()
    seen = BEGINNING
    for low in range(0, len(values), batch):
        at = times[low : low + batch]
        parts = [_encode(conform(value)) for value in values[low : low + batch]]
        body = encode_batch(parts, at, list(range(base + low, base + low + len(parts))), seen, None)
        seen = max([seen, *at])
        out.append(Message(edge, len(out) + 1, len(out) + 1, body, seen, False))
    out.append(Message(edge, len(out) + 1, len(out) + 1, encode_batch([], [], [], seen, None), END_OF_TIME, True))
    return out


def send(vertex: str, values: list[Any]) -> list[Message]:
    """Messages as an input endpoint gets them from outside, up to an end; the event time of each is its ordinal."""
    bodies = [inlet_body(vertex, number, number - 1, _encode(value)) for number, value in enumerate(values, 1)]
    out = [Message(INLET_KEY, number, number, body, number - 1, False) for number, body in enumerate(bodies, 1)]
    return [*out, Message(INLET_KEY, len(out) + 1, len(out) + 1, encode_batch([], [], [], BEGINNING, None), END_OF_TIME, True)]


def _run(
    spec: VertexSpec,
    release: ComponentRelease,
    files: dict[str, Path],
    messages: list[Message],
    workdir: Path | None,
    secrets: Mapping[str, str] = MappingProxyType({}),
    order: RecordedOrder | None = None,
) -> Result:
    folder = workdir or Path(tempfile.mkdtemp(prefix="thalweg-test-"))
    generated = {slot: folder / spec.name / name for slot, name in spec.generated.items()}
    for path in generated.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    engine = assemble(spec, release, files, generated, Limits(), parse_type, secrets, order=order)
    engine.restore(None, None)
    result = Result(
        outputs={port: [] for port in spec.outputs},
        times={port: [] for port in spec.outputs},
        messages={port: [] for port in spec.outputs},
        generated=generated,
    )
    try:
        for message in messages:
            engine.offer(message)
        while not engine.finished and engine.failure is None:
            engine.step()
            _collect(engine, spec, result)
        _collect(engine, spec, result)
    finally:
        engine.program.close()
    if engine.failure is not None:
        raise RunFailedError(engine.failure.message, code=engine.failure.code, hint=engine.failure.hint)
    result.counters = engine.standing.counters
    return result


def _collect(engine: Engine, spec: VertexSpec, result: Result) -> None:
    """Takes what the engine would commit now."""
    if not engine.needs_commit():
        return
    cut = engine.cut()
    engine.stored(cut)
    for port, body in cut.parts:
        if port == "_dead":
            result.dead += msgspec.msgpack.decode(body)
        elif port in spec.outputs:
            decoded = batch_decoder(python_type(parse_type(spec.outputs[port]))).decode(body)
            result.outputs[port] += decoded.v
            result.times[port] += decoded.t
            number = len(result.messages[port]) + 1
            result.messages[port].append(Message(port, number, number, body, cut.commit.promised, cut.commit.ended))
    result.digests = {name: stored.digest for name, stored in cut.commit.ports.items()}
