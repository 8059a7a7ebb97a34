"""Decides what may be removed from a deployment log: never what a reader or a hold still needs, nor the last message of a subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from thalweg.bus.heads import StoredMessage, latest_commits
from thalweg.bus.writer import chunk_count
from thalweg.wire.commit import Commit
from thalweg.wire.dead_letters import AGAIN_KEY
from thalweg.wire.readers import needs_of
from thalweg.wire.rewind import is_pending
from thalweg.wire.spec import INLET_KEY, DeploymentSpec
from thalweg.wire.subjects import COMMIT_PORT, DEAD_PORT, OUT_ENDPOINT, STATE_PORT, again, inlet, outlet, parse_port
from thalweg.wire.subjects import port as port_subject


def plan_trim(spec: DeploymentSpec, heads: list[StoredMessage], held_from: int | None = None) -> list[tuple[str, int]]:
    """(subject, sequence) pairs: messages of the subject below the sequence are needed by nobody.

    A reader that has committed nothing yet needs everything. Dead letters are kept until they are settled.
    Nothing goes while a vertex has still to go back.

    Args:
        spec: what runs.
        heads: the last message of every subject.
        held_from: from this sequence on all is needed, whoever has read it (see `thalweg.bus.holds`).
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
            keep_from = min([keep_from, *needs_of(spec, commits, place[0], place[1]).values()])
        if held_from is not None:
            keep_from = min(keep_from, held_from)
        plan.append((head.subject, keep_from))
    for vertex in spec.vertices:
        commit = commits.get(vertex.name)
        if vertex.endpoint == "in" and commit is not None and INLET_KEY in commit.positions:
            keep_from = commit.positions[INLET_KEY][0]
            plan.append((inlet(spec.workspace, spec.name, vertex.name), keep_from if held_from is None else min(keep_from, held_from)))
        if commit is not None and AGAIN_KEY in commit.positions:  # the message that it stands at says what is settled
            keep_from = commit.positions[AGAIN_KEY][0]
            plan.append((again(spec.workspace, spec.name, vertex.name), keep_from if held_from is None else min(keep_from, held_from)))
    return plan


@dataclass(frozen=True, slots=True)
class Window:
    """A subject of which the newest messages are kept.

    Attributes:
        subject: which.
        keep: how many.
        written: messages written to it so far.
    """

    subject: str
    keep: int
    written: int


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a log was, and how much of each window's subject had been written by then.

    Attributes:
        sequence: no message counted here has a higher one.
        written: messages by subject.
    """

    sequence: int
    written: Mapping[str, int]


def keep_of(window: Window, held_from: int | None, mark: Mark) -> int | None:
    """How many messages of a window's subject have to be kept; None where nobody knows yet how many a hold needs."""
    if held_from is None:
        return window.keep
    if held_from <= mark.sequence or window.written < mark.written.get(window.subject, 0):  # its vertex may have gone back
        return None
    return max(window.keep, window.written - mark.written.get(window.subject, 0))


def plan_windows(spec: DeploymentSpec, commits: Mapping[str, Commit]) -> list[Window]:
    """Subjects of which only the newest messages are kept, whoever reads them.

    Those of output endpoints, and dead letters of input endpoints: nobody need read the former, anyone may cause the latter, and
    neither may hold the graph up.
    """
    keep, found = max(1, spec.max_messages_per_subject // 2), list[Window]()
    for vertex in spec.vertices:
        commit = commits.get(vertex.name)
        if commit is None or not vertex.endpoint:
            continue
        if vertex.endpoint == "out":
            port = commit.ports.get(OUT_ENDPOINT)
            found.append(Window(outlet(spec.workspace, spec.name, vertex.name), keep, port.count if port is not None else 0))
        else:
            found.append(Window(port_subject(spec.workspace, spec.name, vertex.name, DEAD_PORT), keep, commit.dead_commits))
    return found
