"""What each may publish and subscribe to, by exact subjects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from thalweg.wire import subjects

# What the gateway reads of a workspace are deployments, their logs and the endpoints; buckets beside these are none of its business.
_NOT_OF_GATEWAY = ("artifacts", "captures", "evidence", "holds", "lead", "leases", "releases", "reports", "secrets")


@dataclass(frozen=True, slots=True)
class Permissions:
    """Of a user; what is not allowed is denied.

    Attributes:
        publish, subscribe: subjects, with wildcards.
        not_publish: exceptions from `publish`.
    """

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    not_publish: tuple[str, ...] = ()

    def claims(self) -> dict[str, Any]:
        """As a user's token has them."""
        denied = self.not_publish or (() if self.publish else (">",))  # an empty list of what is allowed would allow everything
        return {"pub": {"allow": list(self.publish), "deny": list(denied)}, "sub": {"allow": list(self.subscribe)}}


def of_vertex(workspace: str, deployment: str, vertex: str, inbox: str, *, has_outlet: bool) -> Permissions:
    """One vertex, or one partition of one: writes its own subjects, reads the log and the spec of its deployment.

    It can ask for any message of that log, also of edges that it does not read: JetStream has the wanted subject in the body of a
    request, where permissions do not see it. Consumers are made for it (see `subjects.reader`), since one that it made itself could
    deliver what it has written to any subject of the workspace.

    Args:
        workspace, deployment, vertex: which.
        inbox: prefix of what it is answered on.
        has_outlet: its output leaves the graph.
    """
    stream = subjects.stream(workspace, deployment)
    outlet = (subjects.outlet(workspace, deployment, vertex),) if has_outlet else ()
    publish = (
        subjects.vertex_prefix(workspace, deployment, vertex),
        *outlet,
        subjects.log(workspace, deployment, vertex),
        subjects.reader(workspace, stream, vertex),
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
        f"$JS.API.CONSUMER.DELETE.{stream}.*",
        subjects.spec_request(workspace, deployment),
    )
    return Permissions(publish, (f"{inbox}.>",))


def of_gateway(workspace: str, inbox: str) -> Permissions:
    """The gateway: publishes to input endpoints, reads logs of deployments and the bucket of endpoints, changes nothing else."""
    others = tuple(f"KV_{subjects.bucket(workspace, kind)}" for kind in _NOT_OF_GATEWAY)
    hidden = (*others, subjects.operations_stream(workspace))
    publish = (
        subjects.inlets(workspace),
        subjects.reader(workspace, "*", subjects.GATEWAY),
        "$JS.API.STREAM.INFO.*",
        "$JS.API.STREAM.MSG.GET.*",
        "$JS.API.CONSUMER.MSG.NEXT.*.*",
        "$JS.API.CONSUMER.DELETE.*.*",
    )
    return Permissions(publish, (f"{inbox}.>",), tuple(f"$JS.API.STREAM.{verb}.{one}" for one in hidden for verb in ("INFO", "MSG.GET")))


def of_program(publish: tuple[str, ...], subscribe: tuple[str, ...], inbox: str) -> Permissions:
    """A program outside: publishes to some input endpoints, subscribes to some output endpoints."""
    return Permissions(publish, (*subscribe, f"{inbox}.>"))
