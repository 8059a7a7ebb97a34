"""Checks a pipeline file against releases and finds all of its faults at once; a faultless one becomes a plan to deploy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from thalweg.errors import RejectedError, ThalwegError
from thalweg.graph.accept import bind, find_conflict, substitute
from thalweg.graph.converters import Converters
from thalweg.graph.files import BindingFault
from thalweg.graph.manifest import FileSlot, Manifest
from thalweg.graph.parse import parse_type
from thalweg.graph.partitions import find_unsplittable, is_key, partition_name
from thalweg.graph.pipeline import Edge, Pipeline, Vertex
from thalweg.graph.releases import Release, Releases
from thalweg.graph.types import ListOf, StreamType, format_type
from thalweg.graph.wording import did_you_mean

Inspect = Callable[[FileSlot, Path], list[BindingFault]]
Locate = Callable[[str], Path | None]
MAX_TOLD = 100  # faults as facts of an error
"""Says what keeps a local file from being bound to a slot."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a graph: a dotted code, what it is about, what is wrong, and what would help.

    `about` is ("vertex", name), ("edge", text), ("edges",), ("expect",), ("aliases",) or ("backend",); `detail` is a place within it.
    """

    code: str
    about: tuple[str, ...]
    message: str
    hint: str | None = None
    detail: str = ""

    @property
    def where(self) -> str:
        """`about` and `detail` as people read them."""
        return " ".join(self.about) + (f": {self.detail}" if self.detail else "")

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" + (f"\n  hint: {self.hint}" if self.hint else "")


def faults_error(faults: Sequence[Fault], head: list[str], code: str) -> RejectedError:
    """An error that tells of faults: all of them as lines, and as facts that programs read.

    Args:
        faults: at least one.
        head: lines in front of them.
        code: of the error.
    """
    told = [{"code": one.code, "where": one.where, "message": one.message, "hint": one.hint} for one in faults[:MAX_TOLD]]
    if len(faults) == 1:
        (only,) = faults
        message = "\n".join([*head, f"{only.where}: {only.message}"])
        return RejectedError(message, code=code, hint=only.hint, count=1, faults=told)
    return RejectedError("\n".join([*head, *map(str, faults)]), code=code, count=len(faults), faults=told)


@dataclass
class PlannedVertex:
    """A vertex with everything resolved."""

    name: str
    manifest: Manifest
    params: dict[str, Any]
    on_error: str
    files: dict[str, Path | str]
    generated: dict[str, str]
    secrets: dict[str, str] = field(default_factory=dict)
    inputs: list[tuple[str, str, str, StreamType]] = field(default_factory=list)  # source vertex, its port, own port, type read as
    outputs: dict[str, StreamType] = field(default_factory=dict)
    partitions: int = 1
    key: str | None = None

    @property
    def parts(self) -> list[str]:
        """Names of what is deployed of it: its own, or those of its partitions."""
        return [partition_name(self.name, number) for number in range(1, self.partitions + 1)] if self.partitions > 1 else [self.name]

    def ports(self, side: Literal["inputs", "outputs"]) -> list[str]:
        """Names of its ports, with those that its params name."""
        declared = list(getattr(self.manifest, side))
        named = self.params.get(self.manifest.ports_param) if side == "outputs" else None
        return [*declared, *(name for name in named if name not in declared)] if isinstance(named, dict) else declared


@dataclass
class Plan:
    """What checking a pipeline found: its faults, and its vertices in topological order."""

    pipeline: Pipeline
    faults: list[Fault] = field(default_factory=list)
    vertices: list[PlannedVertex] = field(default_factory=list)

    def raise_if_faulty(self) -> None:
        """Raises RejectedError, whose message is one line or more for each fault; of a single one, the hint is the error's own."""
        if self.faults:
            raise faults_error(self.faults, [], self.faults[0].code)


def check_pipeline(
    pipeline: Pipeline, releases: Releases, base: Path | None, inspect: Inspect | None = None, locate: Locate | None = None
) -> Plan:
    """Checks everything that can be checked without running; never stops at the first fault.

    Args:
        pipeline: the file's content.
        releases: where components are found.
        base: folder that paths in the file are relative to; without one there are only artifacts.
        inspect: looks into local files; without one their content is left to the run.
        locate: local copy of an artifact, None when there is no such artifact; without it artifacts are not looked at.
    """
    return _Check(pipeline, releases, base, inspect, locate).run()


class _Check:
    def __init__(self, pipeline: Pipeline, releases: Releases, base: Path | None, inspect: Inspect | None, locate: Locate | None) -> None:
        self.pipeline, self.releases, self.base, self.inspect, self.locate = pipeline, releases, base, inspect, locate
        self.located: dict[str, Path] = {}
        self.converters = Converters(releases)
        self.plan = Plan(pipeline)
        self.found: dict[str, tuple[PlannedVertex, Release]] = {}

    def run(self) -> Plan:
        if not self.pipeline.vertices:
            self.fault("graph.empty", ("backend",), "there are no vertices")
        for name, vertex in self.pipeline.vertices.items():
            self.vertex(name, vertex)
        self.generated_names()
        edges = [edge for edge in self.pipeline.edges if self.edge(edge)]
        self.connections(edges)
        for expected in self.pipeline.expect:
            self.known_port(expected.vertex, expected.port, ("expect",), "outputs")
        for alias in self.pipeline.aliases.values():
            self.known_endpoint(alias.vertex, alias.endpoint)
        order = self.order(edges)
        for name in order:
            self.resolve(name, [edge for edge in edges if edge.dst_vertex == name])
        self.plan.vertices = [self.found[name][0] for name in order if name in self.found]
        return self.plan

    def fault(self, code: str, about: tuple[str, ...], message: str, hint: str | None = None, detail: str = "") -> None:
        self.plan.faults.append(Fault(code, about, message, hint, detail))

    def vertex(self, name: str, vertex: Vertex) -> None:
        about = ("vertex", name)
        release = self.release(about, vertex)
        if release is None:
            return
        params, faults = release.check_params(vertex.params)
        for one in faults:
            self.fault("param.missing" if one.missing else "param.invalid", about, one.message, detail=f"params.{one.path}".rstrip("."))
        manifest = release.manifest
        self.secrets(about, vertex.secrets, manifest)
        if vertex.key is not None and vertex.partitions == 1:
            self.fault("key.unused", about, f"key {vertex.key!r} has no effect without partitions", "leave it out", "key")
        self.unknown_slots(about, "generated file", vertex.generated, list(manifest.generated_file_schema))
        generated = {
            slot: vertex.generated.get(slot, f"{name}-{declared.default_name}") for slot, declared in manifest.generated_file_schema.items()
        }
        files = self.files(about, vertex.files, manifest)
        planned = PlannedVertex(name, manifest, {} if faults else params, vertex.on_error, files, generated, vertex.secrets)
        planned.partitions, planned.key = vertex.partitions, vertex.key
        self.found[name] = (planned, release)

    def generated_names(self) -> None:
        """All files of a run end up in one folder."""
        owners: dict[str, str] = {}
        for name, (planned, _) in self.found.items():
            for slot, file in planned.generated.items():
                owner = owners.setdefault(file, f"{name}.{slot}")
                if owner != f"{name}.{slot}":
                    hint = f"give it another one: generated: {{{slot}: NAME}}"
                    self.fault("name.twice", ("vertex", name), f"{file!r} is the name of {owner} already", hint, f"generated.{slot}")

    def release(self, about: tuple[str, str], vertex: Vertex) -> Release | None:
        component, _, version = vertex.component.partition("@")
        versions = self.releases.versions(component)
        if not versions:
            known = sorted({full.partition("@")[0] for full in self.releases.names()})
            self.fault("component.unknown", about, f"there is no component {component!r}", did_you_mean(component, known))
            return None
        if not version:
            self.fault("component.unpinned", about, f"component {component} has no version", f"pin it: {component}@{versions[-1]}")
            return None
        try:
            release = self.releases.find(component, version)
        except ThalwegError as error:
            self.fault(error.code, about, str(error), error.hint)
            return None
        if release is None:
            self.fault("component.unknown_version", about, f"{component} has no version {version}", f"it has {', '.join(versions)}")
        elif vertex.digest not in (None, release.manifest.digest):
            self.fault("component.digest_mismatch", about, f"{vertex.component} is {release.manifest.digest}, not {vertex.digest}")
        return release

    def unknown_slots(self, about: tuple[str, str], kind: str, given: Iterable[str], slots: list[str]) -> None:
        for slot in given:
            if slot not in slots:
                self.fault("slot.unknown", about, f"there is no {kind} slot {slot!r}", did_you_mean(slot, slots))

    def secrets(self, about: tuple[str, str], given: dict[str, str], manifest: Manifest) -> None:
        self.unknown_slots(about, "secret", given, manifest.secrets)
        for slot in manifest.secrets:
            if slot not in given and slot not in manifest.optional_secrets:
                self.fault("slot.unbound", about, f"secret slot {slot!r} is not bound", f"secrets: {{{slot}: NAME}}")

    def files(self, about: tuple[str, str], given: dict[str, str], manifest: Manifest) -> dict[str, Path | str]:
        found: dict[str, Path | str] = {}
        for slot, text in given.items():
            if slot not in manifest.file_schema:
                continue
            if text.startswith("sha256:"):
                if not self.unknown_artifact(about, slot, manifest.file_schema[slot], text):
                    found[slot] = text
            elif self.base is None or not (self.base / text).exists():
                hint = f"looked in {self.base}" if self.base else "upload it, and bind the artifact"
                self.fault("file.missing", about, f"{text} is not there", hint, f"files.{slot}")
            elif not self.unfit(about, slot, manifest.file_schema[slot], text, self.base / text):
                found[slot] = self.base / text
        self.unknown_slots(about, "file", given, list(manifest.file_schema))
        for slot, declared in manifest.file_schema.items():
            if declared.required and slot not in given:
                self.fault("slot.unbound", about, f"file slot {slot!r} ({declared.type}) is not bound", f"files: {{{slot}: PATH}}")
        return found

    def unknown_artifact(self, about: tuple[str, str], slot: str, declared: FileSlot, artifact: str) -> bool:
        """Whether an artifact is not there, or cannot be bound; its faults are told."""
        if self.locate is None:
            return False
        path = self.locate(artifact)
        if path is None:
            self.fault("file.missing", about, f"there is no artifact {artifact}", "upload it: thalweg file put", f"files.{slot}")
            return True
        self.located[artifact] = path
        return self.unfit(about, slot, declared, artifact, path)

    def unfit(self, about: tuple[str, str], slot: str, declared: FileSlot, text: str, path: Path) -> bool:
        """Whether a file that is there cannot be bound; its faults are told."""
        faults = self.inspect(declared, path) if self.inspect else []
        for one in faults:
            self.fault(one.code, about, f"{text}: {one.message}", one.hint, f"files.{slot}")
        return bool(faults)

    def edge(self, edge: Edge) -> bool:
        about = ("edge", str(edge))
        source = self.known_port(edge.src_vertex, edge.src_port, about, "outputs")
        target = self.known_port(edge.dst_vertex, edge.dst_port, about, "inputs")
        return source and target

    def known_vertex(self, vertex: str, about: tuple[str, ...]) -> bool:
        if vertex in self.pipeline.vertices:
            return True
        self.fault("vertex.unknown", about, f"there is no vertex {vertex!r}", did_you_mean(vertex, list(self.pipeline.vertices)))
        return False

    def known_port(self, vertex: str, port: str, about: tuple[str, ...], side: Literal["inputs", "outputs"]) -> bool:
        if not self.known_vertex(vertex, about) or vertex not in self.found:
            return False  # its own fault is told already
        manifest = self.found[vertex][0].manifest
        ports = self.found[vertex][0].ports(side)
        if about[0] == "edge" and manifest.endpoint and side == f"{manifest.endpoint}puts" and port == manifest.endpoint:
            what = "records come from outside there" if port == "in" else "its records go outside"
            self.fault("port.endpoint", about, f"port {port!r} of {vertex} ({manifest.name}) is its endpoint: {what}")
            return False
        if port not in ports and manifest.ports_param and not self.found[vertex][0].params:
            return False  # its params are faulty, which is told already
        if port not in ports:
            has = ", ".join(ports) or "none"
            self.fault("port.unknown", about, f"{vertex} ({manifest.name}) has no {side[:-1]} port {port!r}", f"its {side}: {has}")
            return False
        return True

    def known_endpoint(self, vertex: str, endpoint: str) -> None:
        if not self.known_vertex(vertex, ("aliases",)) or vertex not in self.found:
            return
        planned = self.found[vertex][0]
        manifest = planned.manifest
        ports = dict.fromkeys((*planned.ports("inputs"), *planned.ports("outputs")))
        if endpoint not in ports:
            what = f"{vertex} ({manifest.name}) has no endpoint {endpoint!r}"
            self.fault("endpoint.unknown", ("aliases",), what, f"it has {', '.join(ports)}")

    def connections(self, edges: list[Edge]) -> None:
        into = {(edge.dst_vertex, edge.dst_port) for edge in self.pipeline.edges}
        for name, (planned, _) in self.found.items():
            for port in planned.manifest.inputs:
                if port not in planned.manifest.optional_inputs and (name, port) not in into:
                    self.fault("input.unconnected", ("vertex", name), f"input port {port!r} is not connected")
        for edge, times in Counter(edges).items():
            if times > 1:
                self.fault("edge.twice", ("edge", str(edge)), "is given twice")

    def order(self, edges: list[Edge]) -> list[str]:
        """Topological order, in file order where free; names a cycle."""
        waiting = {name: {edge.src_vertex for edge in edges if edge.dst_vertex == name} for name in self.pipeline.vertices}
        order: list[str] = []
        while ready := [name for name, needs in waiting.items() if not needs - set(order)]:
            order += ready
            for name in ready:
                del waiting[name]
        if waiting:
            self.fault("graph.cycle", ("edges",), f"the graph has a cycle: {' -> '.join(_cycle(waiting))}")
        return order

    def resolve(self, name: str, edges: list[Edge]) -> None:
        if name not in self.found:
            return
        planned, release = self.found[name]
        ports: dict[str, list[tuple[Edge, StreamType]]] = {}
        for edge in edges:
            source = self.found[edge.src_vertex][0].outputs.get(edge.src_port) if edge.src_vertex in self.found else None
            if source is not None:
                ports.setdefault(edge.dst_port, []).append((edge, source))
        bindings: dict[str, StreamType] = {}
        arriving: dict[str, StreamType] = {}
        sound = sum(map(len, ports.values())) == len(edges)
        for port, declared in planned.manifest.inputs.items():
            target, arrivals = parse_type(declared), ports.get(port, [])
            bind([(source, target) for _, source in arrivals], bindings)
            for edge, source in arrivals:
                sound = self.accepts(edge, source, target, bindings) and sound
            read_as = substitute(target, bindings)
            kinds = {source for _, source in arrivals}
            if kinds:
                arriving[port] = kinds.pop() if len(kinds) == 1 else read_as
            for edge, source in arrivals:
                kind = source if read_as == target else read_as  # what is not generic, the component's own class decodes
                planned.inputs.append((edge.src_vertex, edge.src_port, port, kind))
            if planned.partitions > 1 and port in arriving:
                self.faulty_key(planned, port, {source for _, source in arrivals})
        if planned.partitions > 1 and (fault := find_unsplittable(planned.manifest, planned.key)) is not None:
            self.fault("vertex.unsplittable", ("vertex", name), *fault, "partitions")
        if sound and set(planned.manifest.inputs) <= set(arriving) | set(planned.manifest.optional_inputs):
            self.outputs(planned, release, arriving, bindings)

    def faulty_key(self, planned: PlannedVertex, port: str, kinds: set[StreamType]) -> None:
        """Tells of records that cannot be dealt out by the key of a vertex with partitions."""
        key = planned.key
        for kind in kinds:
            if key is not None and not is_key(kind, key):
                what = f"records at {port!r} have no field {key!r} that can be a key: {format_type(kind)}"
                self.fault("key.unusable", ("vertex", planned.name), what, "a field of type str, int, bool or bytes", "key")

    def accepts(self, edge: Edge, source: StreamType, target: StreamType, bindings: dict[str, StreamType]) -> bool:
        conflict = find_conflict(source, target, bindings)
        if conflict is None:
            return True
        at = f" at {conflict.path}" if conflict.path else ""
        lines = (
            f"{conflict.reason}{at}\n  {edge.src_vertex}.{edge.src_port} emits {format_type(source)}; "
            f"{edge.dst_vertex}.{edge.dst_port} accepts {format_type(substitute(target, bindings))}"
        )
        hint = self.converters.hint(source, target, conflict)
        if isinstance(target, ListOf) and find_conflict(source, target.item) is None:
            component = self.found[edge.dst_vertex][0].manifest.name
            hint = f"each record of {component} is a list here; in its code, call the argument `batch` to get records in lists"
        self.fault("graph.port_type_mismatch", ("edge", str(edge)), lines, hint)
        return False

    def converted(self, planned: PlannedVertex, release: Release, arriving: dict[str, StreamType], local: dict[str, Path]) -> str | None:
        """A converter behind which a component would take what it has refused, when it has one input."""
        if len(arriving) != 1:
            return None
        ((port, source),) = arriving.items()

        def accepts(kind: StreamType) -> bool:
            try:
                return bool(release.resolve(planned.params, {port: kind}, local)) or not planned.manifest.outputs
            except Exception:  # it refuses this one too, or its own code fails
                return False

        return self.converters.hint_for(source, accepts)

    def outputs(self, planned: PlannedVertex, release: Release, arriving: dict[str, StreamType], bindings: dict[str, StreamType]) -> None:
        paths = {slot: path if isinstance(path, Path) else self.located.get(path) for slot, path in planned.files.items()}
        local = {slot: path for slot, path in paths.items() if path is not None}
        if any(declared.required and slot not in planned.files for slot, declared in planned.manifest.file_schema.items()):
            return
        if any(fault.about == ("vertex", planned.name) and fault.detail.startswith("params") for fault in self.plan.faults):
            return
        try:
            found = release.resolve(planned.params, arriving, local)
        except ThalwegError as error:
            hint = self.converted(planned, release, arriving, local) if error.code == "type.unsupported" else None
            self.fault(error.code, ("vertex", planned.name), str(error), hint or error.hint)
            return
        except Exception as error:  # of a component's own code
            what = f"{planned.manifest.name} cannot say its output types: {type(error).__name__}: {error}"
            self.fault("component.raised", ("vertex", planned.name), what)
            return
        planned.outputs = {port: substitute(kind, bindings) for port, kind in found.items()}


def _cycle(waiting: dict[str, set[str]]) -> list[str]:
    name, path = next(iter(waiting)), list[str]()
    while name not in path:
        path.append(name)
        name = next(iter(waiting[name] & set(waiting)))
    return [*reversed(path[path.index(name) :]), path[-1]] if path[path.index(name) :] else path
