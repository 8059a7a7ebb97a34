"""Arranges a pipeline for a case of its tests: params set, files bound, releases exchanged, ports fed from fixtures; pure."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from thalweg.graph.pipeline import Pipeline
from thalweg.graph.wording import did_you_mean
from thalweg.replay.feeding import ANSWERS_PORT, answering
from thalweg.replay.feeds import FixtureFeed, ReplayFeed
from thalweg.replay.fixture import SUFFIX as _FIXTURE
from thalweg.replay.fixture import is_fixture
from thalweg.replay.standing_in import StandIns
from thalweg.testing.manifest import Case, FileExpectation, Fixture, PortExpectation, VertexExpectation

OUT = "out"
_REPLAY = ".mcap"
_SOURCES = {
    ".csv": ("csv-source@1.0.0", "table"),
    ".jsonl": ("jsonl-source@1.0.0", "lines"),
    ".parquet": ("parquet-source@1.0.0", "table"),
    _REPLAY: ("@".join(ReplayFeed.component), ReplayFeed.slot),
    _FIXTURE: ("@".join(FixtureFeed.component), FixtureFeed.slot),
}


@dataclass(frozen=True, slots=True)
class Misfit:
    """What of a case does not fit its pipeline: its key in the case, what is wrong, what would help."""

    key: str
    message: str
    hint: str | None = None


@dataclass
class Arranged:
    """The content of a pipeline file as a case runs it, and what does not fit."""

    content: dict[str, Any]
    misfits: list[Misfit] = field(default_factory=list)


def arrange(
    pipeline: Pipeline,
    case: Case,
    use: Mapping[str, str],
    base: Path,
    types: Mapping[str, str],
    tried: Collection[str] = (),
    stand_ins: StandIns | None = None,
) -> Arranged:
    """A pipeline as a case runs it; its own expectations and aliases are left out.

    A vertex whose port is replaced does not run, nor does what feeds it alone, unless something is expected of that. In its place
    there is a source of the same name, or of `vertex-port` where several of its ports are replaced.

    Args:
        pipeline: the graph.
        case: what is different in it.
        use: releases to exchange: component -> name@version.
        base: folder of the manifest, which its paths are relative to.
        types: stream type by `vertex.port`, as far as known; a replaced port is read as that.
        tried: releases, as `name@version`, that are not the pinned ones of that name: digests are left aside.
        stand_ins: vertices beside the sources that the case's replay stands in for.
    """
    content = copy.deepcopy(pipeline.model_dump(mode="json", exclude={"expect", "aliases"}))
    return _Arranging(content, case, base, types, stand_ins or StandIns()).run(use, tried)


class _Arranging:
    def __init__(self, content: dict[str, Any], case: Case, base: Path, types: Mapping[str, str], stand_ins: StandIns) -> None:
        self.case, self.base, self.types, self.stand_ins = case, base, types, stand_ins
        self.arranged = Arranged(content)
        self.vertices: dict[str, Any] = content["vertices"]

    def run(self, use: Mapping[str, str], tried: Collection[str]) -> Arranged:
        self.exchange(use)
        for vertex_content in self.vertices.values():
            if vertex_content["component"] in tried:
                vertex_content.pop("digest", None)
        for path, value in self.case.set.items():
            vertex, _, name = path.partition(".")
            if self.knows("set", path, vertex):
                self.put(f"set.{path}", self.vertices[vertex].setdefault("params", {}), name, value)
        for end, text in self.case.files.items():
            vertex, _, slot = end.partition(".")
            if self.knows("files", end, vertex):
                self.vertices[vertex].setdefault("files", {})[slot] = text if text.startswith("sha256:") else str(self.base / text)
        if self.case.live and self.case.replay is None:
            self.misfit("live", "without a replay, all vertices run live", "replay: the .mcap file of a run")
        replaced = self.recorded_sources()
        for end, fixture in self.case.replace.items():
            vertex, _, port = end.partition(".")
            if self.knows("replace", end, vertex) and self.is_readable(f"replace.{end}", fixture):
                replaced.setdefault(vertex, {})[port] = fixture
        if replaced:
            self.replace(replaced)
        self.answer([name for name in self.stand_ins.answered if name in self.vertices and name not in replaced])
        return self.arranged

    def answer(self, names: Collection[str]) -> None:
        """Has vertices give what the replay has of them, record by record."""
        assert self.case.replay is not None or not names
        self.vertices |= {name: answering(name, self.vertices[name], self.base / str(self.case.replay)) for name in names}
        edges = [_Ends.read(text) for text in self.arranged.content.get("edges", [])]
        edges = [replace(edge, dst_port=ANSWERS_PORT) if edge.dst_vertex in names else edge for edge in edges]
        self.arranged.content["edges"] = list(map(str, edges))

    def recorded_sources(self) -> dict[str, dict[str, Fixture]]:
        """The ports of all sources, where a replay takes their place, and of what is given likewise."""
        found: dict[str, dict[str, Fixture]] = {}
        text = self.case.replay
        if text is None:
            return found
        if _ending(text) not in (_REPLAY, _FIXTURE):
            self.misfit("replay", f"{text}: a replay is an {_REPLAY} file, a fixture a {_FIXTURE} file")
        elif self.is_readable("replay", Fixture(file=text, time=None)):
            edges = [_Ends.read(edge) for edge in self.arranged.content.get("edges", [])]
            read = {edge.dst_vertex for edge in edges}
            for edge in edges:
                if edge.src_vertex not in read or edge.src_vertex in self.stand_ins.given:
                    found.setdefault(edge.src_vertex, {})[edge.src_port] = Fixture(file=text, time=None)
        return found

    def misfit(self, key: str, message: str, hint: str | None = None) -> None:
        self.arranged.misfits.append(Misfit(key, message, hint))

    def knows(self, key: str, end: str, vertex: str) -> bool:
        if vertex not in self.vertices:
            self.misfit(f"{key}.{end}", f"there is no vertex {vertex!r}", did_you_mean(vertex, list(self.vertices)))
        return vertex in self.vertices

    def exchange(self, use: Mapping[str, str]) -> None:
        used = {vertex["component"].partition("@")[0] for vertex in self.vertices.values()}
        for component in use:
            if component not in used:
                self.misfit(f"use.{component}", f"no vertex uses component {component!r}", did_you_mean(component, sorted(used)))
        for vertex in self.vertices.values():
            given = use.get(vertex["component"].partition("@")[0])
            if given is not None:
                vertex["component"] = given
                vertex.pop("digest", None)

    def put(self, key: str, holder: Any, path: str, value: Any) -> None:
        *parts, last = path.split(".")
        for part in parts:
            holder = holder.setdefault(part, {})
            if not isinstance(holder, dict):
                self.misfit(key, f"{part} is no mapping, so nothing in it can be set")
                return
        holder[last] = value

    def is_readable(self, key: str, fixture: Fixture) -> bool:
        path = self.base / fixture.file
        if _ending(path.name) not in _SOURCES:
            self.misfit(key, f"{fixture.file}: records are read from {', '.join(_SOURCES)} files")
        elif not path.is_file():
            self.misfit(key, f"{fixture.file} is not there", f"looked in {self.base}")
        else:
            return True
        return False

    def replace(self, replaced: dict[str, dict[str, Fixture]]) -> None:
        edges = [_Ends.read(text) for text in self.arranged.content.get("edges", [])]
        sources = {
            (vertex, port): vertex if len(ports) == 1 else f"{vertex}-{port}" for vertex, ports in replaced.items() for port in ports
        }
        gone = _unneeded(edges, set(replaced), self.watched())
        kept = []
        for edge in edges:
            source = sources.get((edge.src_vertex, edge.src_port))
            if edge.dst_vertex in gone | set(replaced):
                continue
            if source is not None:
                kept.append(f"{source}.{OUT} -> {edge.dst_vertex}.{edge.dst_port}")
            elif edge.src_vertex in replaced:
                end = f"{edge.src_vertex}.{edge.src_port}"
                self.misfit("replace", f"{edge.src_vertex} does not run, so {end} needs a fixture, too: it feeds {edge.dst_vertex}")
            else:
                kept.append(str(edge))
        for vertex in gone | set(replaced):
            self.vertices.pop(vertex, None)
        for (vertex, port), name in sources.items():
            if name in self.vertices:
                self.misfit(f"replace.{vertex}.{port}", f"there is a vertex {name} already")
            self.vertices[name] = self.source(f"{vertex}.{port}", replaced[vertex][port])
        self.arranged.content["edges"] = kept

    def source(self, end: str, fixture: Fixture) -> dict[str, Any]:
        suffix = _ending(fixture.file)
        component, slot = _SOURCES[suffix]
        params = {"time": fixture.time} if fixture.time is not None else {}
        if suffix in (_REPLAY, _FIXTURE):
            if fixture.time is not None:
                self.misfit(f"replace.{end}.time", "the records of a replay, or of a fixture, have their times")
            vertex, _, port = end.partition(".")
            params = {"vertex": vertex, "port": port}
        if suffix == ".jsonl" and self.types.get(end, "").startswith("record{"):
            params["record"] = self.types[end]
        return {"component": component, "files": {slot: str(self.base / fixture.file)}, "params": params}

    def watched(self) -> set[str]:
        """Vertices that something is expected of, or that the case changes: they run even if nothing reads them."""
        named = {end.partition(".")[0] for end in (*self.case.set, *self.case.files)}
        for one in self.case.expect:
            match one:
                case VertexExpectation():
                    named.add(one.vertex)
                case PortExpectation():
                    named.add(one.port.partition(".")[0])
                case FileExpectation():
                    named.add(one.file.partition(".")[0])
        return named


@dataclass(frozen=True, slots=True)
class _Ends:
    src_vertex: str
    src_port: str
    dst_vertex: str
    dst_port: str

    @classmethod
    def read(cls, text: str) -> _Ends:
        source, _, target = text.partition("->")
        return cls(*source.strip().split(".", 1), *target.strip().split(".", 1))

    def __str__(self) -> str:
        return f"{self.src_vertex}.{self.src_port} -> {self.dst_vertex}.{self.dst_port}"


def _ending(name: str) -> str:
    return _FIXTURE if is_fixture(name) else Path(name).suffix.lower()


def _unneeded(edges: Iterable[_Ends], replaced: set[str], watched: set[str]) -> set[str]:
    """Vertices that feed nothing but vertices which do not run."""
    edges, gone = list(edges), set(replaced)
    while True:
        more = {
            edge.src_vertex
            for edge in edges
            if edge.dst_vertex in gone
            and edge.src_vertex not in gone | watched
            and all(other.dst_vertex in gone for other in edges if other.src_vertex == edge.src_vertex)
        }
        if not more:
            return gone - replaced
        gone |= more
