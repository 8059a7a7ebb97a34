"""How far the readers of a port are: what each would read again if it started anew. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from thalweg.wire.commit import Commit
from thalweg.wire.partitions import formers_of
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec
from thalweg.wire.takeover import first_commit


def readers_of(spec: DeploymentSpec, vertex: str, port: str) -> list[tuple[VertexSpec, EdgeSpec]]:
    """Who reads a port, by which edge; a partition that was retired reads no more."""
    readers = [(one, edge) for one in spec.vertices if not one.retired for edge in one.inputs]
    return [(one, edge) for one, edge in readers if (edge.src_vertex, edge.src_port) == (vertex, port)]


def needs_of(spec: DeploymentSpec, commits: Mapping[str, Commit], vertex: str, port: str) -> dict[str, int]:
    """First sequence of a port's subject that each of its readers needs; one that has committed nothing of it needs all of it.

    Of a reader with several edges from there, the lowest. One that takes the place of others, and has committed nothing, needs what it will
    begin with.
    """
    found: dict[str, int] = {}
    for reader, edge in readers_of(spec, vertex, port):
        commit = commits.get(reader.name) or first_commit(reader, formers_of(spec, reader), commits)
        places = (commit.positions if commit.floor is None else commit.floor) if commit is not None else {}
        needed = max(places.get(edge.key, (0, 0))[0], edge.start)
        found[reader.name] = min(found.get(reader.name, 2**63 - 1), needed)
    return found
