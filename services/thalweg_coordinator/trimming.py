"""Decides what may be removed from a deployment log: never what a reader still needs, nor the last message of a subject."""

from __future__ import annotations

from thalweg.bus.heads import StoredMessage, latest_commits
from thalweg.bus.writer import chunk_count
from thalweg.wire.commit import Commit
from thalweg.wire.rewind import is_pending
from thalweg.wire.spec import DeploymentSpec
from thalweg.wire.subjects import COMMIT_PORT, DEAD_PORT, STATE_PORT, parse_port


def plan_trim(spec: DeploymentSpec, heads: list[StoredMessage]) -> list[tuple[str, int]]:
    """(subject, sequence) pairs: messages of the subject below the sequence are needed by nobody.

    A reader that has committed nothing yet needs everything. Dead letters are kept. Nothing goes while a vertex has still to go back.
    """
    commits = latest_commits(heads)
    if any(is_pending(one.rewind, commits.get(one.name)) for one in spec.vertices):
        return []
    plan: list[tuple[str, int]] = []
    for head in heads:
        place = parse_port(head.subject)
        if place is None or place[1] == DEAD_PORT:
            continue
        keep_from = head.sequence - chunk_count(head) + 1
        if place[1] not in (COMMIT_PORT, STATE_PORT):
            keep_from = min([keep_from, *_needs(spec, commits, place[0], place[1])])
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
                found.append(max(places[edge.key][0] if edge.key in places else 0, edge.start))
    return found
