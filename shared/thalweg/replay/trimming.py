"""Writes the replay of a run on fewer inputs as that of the graph itself: its sources are what they were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from thalweg.replay.completeness import Completeness
from thalweg.replay.feeding import ANSWERS, COMPONENT
from thalweg.replay.reader import Replay
from thalweg.replay.recorder import Recorder
from thalweg.wire.capturing import ALL, captured_ports
from thalweg.wire.spec import DeploymentSpec

TRIMMED = "trimmed"  # in what a replay says of itself: of which one, and to what


def write_trimmed(out: Path, short: Replay, spec: DeploymentSpec, ran: DeploymentSpec, trimmed: str) -> Completeness:
    """Writes it; its account, which is made anew.

    Args:
        out: the file; it is replaced.
        short: replay of the run on fewer inputs.
        spec: of that run.
        ran: of the run that was cut short; its vertices stand where the other one had sources that replay it.
        trimmed: what was left of it, for people.

    Raises:
        OSError: the file cannot be written.
    """
    own = {one.name: one for one in ran.vertices}
    stood_in = {one.name for one in spec.vertices if one.component.partition("@")[0] in (COMPONENT, ANSWERS)}
    vertices = [own[one.name] if one.name in stood_in and one.name in own else one for one in spec.vertices]
    vertices = [msgspec.structs.replace(one, follows=None) for one in vertices]
    spec = msgspec.structs.replace(spec, vertices=vertices, lease="", revision=ran.revision, graph_digest=ran.graph_digest)
    types = {(one.name, port): kind for one in spec.vertices for port, kind in one.outputs.items()}
    partial = out.with_name(f".{out.name}.partial")
    partial.unlink(missing_ok=True)
    recorder = Recorder(
        partial,
        {**short.about, TRIMMED: trimmed},
        msgspec.json.encode(spec),
        lambda vertex, port: types.get((vertex, port)),
        is_gapless=spec.capture == ALL,
    )
    for entry in short.entries():
        recorder.add_entry(entry)
    found = recorder.seal(_written(short, spec), None)
    partial.replace(out)
    return found


def _written(short: Replay, spec: DeploymentSpec) -> Mapping[tuple[str, str], int]:
    """What the vertices say to have put out."""
    commits = short.last_commits()
    return {
        (vertex, port): commits[vertex].ports[port].count
        for vertex, port in captured_ports(spec)
        if vertex in commits and port in commits[vertex].ports
    }
