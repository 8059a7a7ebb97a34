"""Finds where files and secrets are bound: at the newest revision of every backend, in every stored deployment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from thalweg.api.uses import Use
from thalweg.bus.connection import Client
from thalweg.bus.deployments import list_deployments, load_deployment
from thalweg.errors import RejectedError
from thalweg_coordinator.logs_of_backends import LogsOfBackends


@dataclass(frozen=True, slots=True)
class Binding:
    """What is bound to a slot: an artifact id, or a secret's name."""

    bound: str
    use: Use


class Uses:
    """Bindings of a workspace.

    Args:
        client: NATS connection.
        workspace: whose.
        logs: of its backends.
    """

    def __init__(self, client: Client, workspace: str, logs: LogsOfBackends) -> None:
        self._client, self._workspace, self._logs = client, workspace, logs

    async def of_file(self, artifact: str) -> list[Use]:
        """Where an artifact is bound."""
        return [one.use for one in await self._all("files") if one.bound == artifact]

    async def of_secrets(self) -> dict[str, list[Use]]:
        """Where each secret is bound, by its name."""
        found: dict[str, list[Use]] = {}
        for one in await self._all("secrets"):
            found.setdefault(one.bound, []).append(one.use)
        return found

    async def _all(self, field: str) -> list[Binding]:
        found: list[Binding] = []
        for name in await self._logs.names():
            head = (await self._logs.read(name)).head
            bound = ((vertex, getattr(one, field)) for vertex, one in head.vertices.items())
            found += _bindings("backend", name, bound)
        for name in await list_deployments(self._client, self._workspace):
            try:
                spec = await load_deployment(self._client, self._workspace, name)
            except RejectedError:
                continue  # removed since it was listed, or not readable: it cannot run
            if field == "files":
                bound = ((one.name, {slot: file.artifact for slot, file in one.files.items()}) for one in spec.vertices)
            else:
                bound = ((one.name, one.secrets) for one in spec.vertices)
            found += _bindings("deployment", name, bound)
        return found


def refuse_bound(what: str, uses: list[Use], code: str) -> None:
    """Raises RejectedError, naming every use, where there is any."""
    if uses:
        lines = [f"{what} is bound, and cannot be removed", *(f"  {use}" for use in uses)]
        raise RejectedError("\n".join(lines), code=code, uses=[str(use) for use in uses])


def _bindings(kind: str, name: str, vertices: Iterator[tuple[str, dict[str, str]]]) -> list[Binding]:
    return [
        Binding(bound, Use(kind=kind, name=name, vertex=vertex, slot=slot)) for vertex, slots in vertices for slot, bound in slots.items()
    ]
