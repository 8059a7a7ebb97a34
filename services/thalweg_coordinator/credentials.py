"""Answers calls that issue credentials for NATS."""

from __future__ import annotations

from typing import Any

from thalweg.access.credentials import Credentials
from thalweg.api import credentials as api
from thalweg.api.calls import Call
from thalweg.api.endpoints import WhichEndpoint
from thalweg.bus.connection import Client
from thalweg.bus.deployments import load_deployment
from thalweg.errors import UnreachableError
from thalweg_coordinator.admission import Admission
from thalweg_coordinator.api import Handler
from thalweg_coordinator.endpoints import Endpoints


class CredentialCalls:
    """Handlers by call.

    Args:
        client: NATS connection.
        workspace: whose.
        admission: issues them.
        endpoints: know where programs publish and subscribe.
    """

    def __init__(self, client: Client, workspace: str, admission: Admission, endpoints: Endpoints) -> None:
        self._client, self._workspace = client, workspace
        self._admission, self._endpoints = admission, endpoints

    def handlers(self) -> dict[Call[Any, Any], Handler]:
        """By call of `thalweg.api.credentials`."""
        return {api.PROGRAM: self.for_program, api.VERTICES: self.for_vertices}

    async def for_program(self, asked: api.ForProgram) -> api.Issued:
        """For the subjects that the endpoints have now; they stay over redeploys."""
        issuer = self._admission.issuer
        sides: dict[str, list[str]] = {"in": [], "out": []}
        for name in asked.names:
            info = await self._endpoints.show(WhichEndpoint(backend=asked.backend, name=name))
            if info.subject is None:
                what = f"backend {asked.backend} is not deployed now: endpoint {name} has no subject"
                raise UnreachableError(what, code="deployment.not_running", hint=f"thalweg deploy {asked.backend}")
            sides[info.side].append(info.subject)
        publish, subscribe = sides["in"], sides["out"]
        made = issuer.for_program(f"program of {asked.backend}", tuple(publish), tuple(subscribe), asked.life_s)
        return _issued(asked.backend, made, publish=publish, subscribe=subscribe)

    async def for_vertices(self, asked: api.ForVertices) -> api.AllIssued:
        """For whoever keeps the vertices running."""
        spec = await load_deployment(self._client, self._workspace, asked.deployment)
        made = [(one.name, self._admission.credentials_of(spec, one, asked.life_s)) for one in spec.vertices if not one.retired]
        return api.AllIssued(credentials=[_issued(name, one) for name, one in made])


def _issued(name: str, made: Credentials, **subjects: list[str]) -> api.Issued:
    return api.Issued(name=name, text=made.text(), inbox=made.inbox, expires_s=made.expires_s, **subjects)
