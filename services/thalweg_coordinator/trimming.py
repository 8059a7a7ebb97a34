"""Decides what may be removed from a deployment log: never what a reader or a hold still needs, nor the last message of a subject."""

from __future__ import annotations

from thalweg.bus.heads import StoredMessage, latest_commits
from thalweg.bus.writer import chunk_count
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec
from thalweg.wire.subjects import COMMIT_PORT, DEAD_PORT, STATE_PORT, parse_port


def plan_trim(spec: DeploymentSpec, heads: list[StoredMessage], held_from: int | None = None) -> list[tuple[str, int]]:
    """(subject, sequence) pairs: messages of the subject below the sequence are needed by nobody.

    A reader that has committed nothing yet needs everything. Dead letters are kept.

    Args:
        spec: what runs.
        heads: the last message of every subject.
        held_from: from this sequence on all is needed, whoever has read it (see `thalweg.bus.holds`).
    """
    commits = latest_commits(heads)
    plan: list[tuple[str, int]] = []
    for head in heads:
        place = parse_port(head.subject)
        if place is None or place[1] == DEAD_PORT:
            continue
        keep_from = head.sequence - chunk_count(head) + 1
        if place[1] not in (COMMIT_PORT, STATE_PORT):
            keep_from = min([keep_from, *_needs(spec, commits, place[0], place[1])])
        if held_from is not None:
            keep_from = min(keep_from, held_from)
        plan.append((head.subject, keep_from))
    return plan


def _needs(spec: DeploymentSpec, commits: dict[str, Commit], vertex: str, port: str) -> list[int]:
    """First sequence that each reader of a port would read again if it restarted now."""
    found: list[int] = []
    for reader in spec.vertices:
        for edge in reader.inputs:
            if (edge.src_vertex, edge.src_port) == (vertex, port):
                commit = commits.get(reader.name)
                places = (commit.floor if commit.floor is not None else commit.positions) if commit is not None else {}
                found.append(places[edge.key][0] if edge.key in places else 0)
    return found
