"""Runs a stored graph with the releases that it pins and with a candidate in their place, for a short while, and compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from thalweg.testing.short_run import Ran
from thalweg.wire.spec import EdgeSpec, VertexSpec

MAX_RECORDS = 1000

Run = Callable[[VertexSpec, Mapping[str, Path]], tuple[Ran, Path]]
"""Runs a vertex, given the folders that the vertices before it have left by name; what came of it, and its own folder."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a graph has come out with a candidate.

    Attributes:
        verdict: `fails`: with the candidate alone; `not run`: nothing can be said.
        lines: what differs first, why it fails, what was left out.
        ports: how many ports were compared.
    """

    verdict: Literal["same", "differs", "fails", "not run"]
    lines: tuple[str, ...] = ()
    ports: int = 0


@dataclass(frozen=True, slots=True)
class _Pair:
    """What a vertex left as it is pinned, and with the candidate; the same twice where nothing differs."""

    pinned: tuple[Ran, Path]
    candidate: tuple[Ran, Path]
    is_exact: bool

    @property
    def is_same(self) -> bool:
        return self.pinned is self.candidate


def rehearse_graph(pinned: list[VertexSpec], candidate: list[VertexSpec], run: Run) -> Outcome:
    """Runs both, vertex by vertex, up to the first that comes out otherwise; what is the same in both is run once.

    Sources end after `MAX_RECORDS` records. Vertices that need secrets or are fed from outside, sinks that write elsewhere
    than into files, and what follows them are left out: a rehearsal has no effects.

    Args:
        pinned, candidate: the same vertices in topological order, as they would be deployed.
        run: runs one of them.
    """
    pairs: dict[str, _Pair] = {}
    left_out: dict[str, str] = {}
    changed = {before.name for before, after in zip(pinned, candidate, strict=True) if not before.is_same_work(after)}
    if not changed:
        return Outcome("not run", ("it pins the candidate already",))
    for before, after in zip(map(_short, pinned), map(_short, candidate), strict=True):
        reason = _left_out(before, pairs) or _left_out(after, pairs)
        if reason is not None:
            left_out[after.name] = reason
            continue
        found = _run_pair(before, after, pairs, run)
        if isinstance(found, Outcome):
            return found
        pairs[after.name] = found
    notes = tuple(f"{name}: left out: {reason}" for name, reason in left_out.items())
    if not changed & pairs.keys():
        return Outcome("not run", notes)
    notes += tuple(f"{name}: not deterministic: counts alone were compared" for name, pair in pairs.items() if not pair.is_exact)
    return Outcome("same", notes, sum(len(one.candidate[0].ports) for one in pairs.values()))


def _short(vertex: VertexSpec) -> VertexSpec:
    if vertex.kind != "source":
        return vertex
    return msgspec.structs.replace(vertex, stop_after=min(MAX_RECORDS, vertex.stop_after or MAX_RECORDS))


def _left_out(vertex: VertexSpec, pairs: Mapping[str, _Pair]) -> str | None:
    if missing := sorted({edge.src_vertex for edge in vertex.inputs} - pairs.keys()):
        return f"{', '.join(missing)} before it was"
    if vertex.secrets:
        return "it needs secrets"
    if vertex.endpoint == "in":
        return "it is fed from outside"
    if vertex.kind == "sink" and not vertex.generated:
        return "it writes elsewhere than into files"
    return None


def _run_pair(before: VertexSpec, after: VertexSpec, pairs: Mapping[str, _Pair], run: Run) -> _Pair | Outcome:
    name, sources = after.name, [pairs[edge.src_vertex] for edge in (*before.inputs, *after.inputs)]
    first = run(before, _folders(before.inputs, pairs, is_candidate=False))
    if first[0].failure is not None:
        return Outcome("not run", (f"{name}: as it is pinned, it fails itself: {first[0].failure}",))
    if before.is_same_work(after) and all(one.is_same for one in sources):
        return _Pair(first, first, is_exact=all(one.is_exact for one in sources))
    second = run(after, _folders(after.inputs, pairs, is_candidate=True))
    if second[0].failure is not None:
        return Outcome("fails", (f"{name}: {second[0].failure}",))
    if first[0].is_cut or second[0].is_cut:
        return Outcome("not run", (f"{name}: gives fewer than {MAX_RECORDS:,} records in the time there is, and does not end",))
    is_exact = before.deterministic and after.deterministic and all(one.is_exact for one in sources)
    if lines := _differences(name, first[0], second[0], is_exact):
        return Outcome("differs", tuple(lines))
    return _Pair(first, first if is_exact else second, is_exact)


def _folders(edges: list[EdgeSpec], pairs: Mapping[str, _Pair], *, is_candidate: bool) -> dict[str, Path]:
    found = ((edge.src_vertex, pairs[edge.src_vertex]) for edge in edges)
    return {name: (pair.candidate if is_candidate else pair.pinned)[1] for name, pair in found}


def _differences(name: str, before: Ran, after: Ran, is_exact: bool) -> list[str]:
    lines: list[str] = []
    for port in dict.fromkeys((*before.ports, *after.ports)):
        old, new = before.ports.get(port, (0, "")), after.ports.get(port, (0, ""))
        if old[0] != new[0]:
            lines.append(f"{name}.{port}: {old[0]:,} records as it is pinned, {new[0]:,} with the candidate")
        elif is_exact and old[1] != new[1]:
            lines.append(f"{name}.{port}: {old[0]:,} records with digest {old[1][:12]} as it is pinned, {new[1][:12]} with the candidate")
    if is_exact and not lines:
        slots = dict.fromkeys((*before.generated, *after.generated))
        lines += [f"{name}: generated file {slot} differs" for slot in slots if before.generated.get(slot) != after.generated.get(slot)]
    return lines
