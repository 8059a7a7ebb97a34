"""What a sink has delivered outside, as its commits say it."""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec, VertexSpec

RECEIPTS = "receipts"  # the port of a sink that proves what it has delivered
MAX_TARGET = 300  # characters of it in a commit


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a sink has proof of.

    Attributes:
        count: records that the target has taken.
        target: who took the last one; "" before the first.
        digest: of the receipts (hex), as of any port.
    """

    count: int
    target: str
    digest: str


def gives_receipts(vertex: VertexSpec) -> bool:
    """Whether a vertex proves what it delivers."""
    return vertex.kind == "sink" and list(vertex.outputs) == [RECEIPTS]


def delivered(vertex: VertexSpec, commit: Commit | None) -> Delivered | None:
    """What a vertex has delivered; None for one that gives no receipts."""
    if not gives_receipts(vertex):
        return None
    port = commit.ports.get(RECEIPTS) if commit is not None else None
    if commit is None or port is None:
        return Delivered(0, "", "")
    return Delivered(port.count, commit.target, port.digest)


def receipt_ports(spec: DeploymentSpec) -> set[tuple[str, str]]:
    """(vertex, port) of all receipts. They hold what the target says, so those of two runs are alike in number only."""
    return {(one.name, RECEIPTS) for one in spec.vertices if gives_receipts(one)}
