"""What vertices and programs are let in by NATS with: credentials of their own, where this coordinator can issue some."""

from __future__ import annotations

import logging

from thalweg.access.access import Access
from thalweg.access.credentials import Credentials
from thalweg.access.issuer import Issuer
from thalweg.errors import RejectedError
from thalweg.settings import Settings
from thalweg.wire.spec import DeploymentSpec, VertexSpec

_log = logging.getLogger("thalweg.coordinator")


class Admission:
    """Issues credentials.

    Args:
        settings: where the coordinator's own are, and what it issues others with.

    Raises:
        RejectedError: the issuer file cannot be used (`issuer.…`).
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._own = settings, Access.of(settings)
        self._issuer = Issuer.load(settings.nats_issuer, settings.workspace) if settings.nats_issuer is not None else None
        if self._issuer is None and settings.nats_creds is not None:
            _log.warning("THALWEG_NATS_ISSUER is not set: vertices are let in as this coordinator is, and may do what it may")

    @property
    def issuer(self) -> Issuer:
        """Raises RejectedError (`issuer.none`) where there is none."""
        if self._issuer is None:
            hint = "`thalweg keys init` makes an issuer file, THALWEG_NATS_ISSUER tells the coordinator where it is"
            raise RejectedError("this coordinator cannot issue credentials", code="issuer.none", hint=hint)
        return self._issuer

    def of_vertex(self, spec: DeploymentSpec, vertex: VertexSpec) -> Access | None:
        """What a vertex gets when it is started; None where NATS lets everyone in. Blocking, for small files.

        Raises:
            RejectedError: the coordinator's own credentials, or the authority, cannot be read (`credentials.…`, `ca.…`).
        """
        if self._issuer is not None:
            return self._own.handed_over(self.credentials_of(spec, vertex).text())
        own = self._own.credentials()
        return self._own.handed_over(own.text() if own is not None else None) if own is not None or self._own.demands_tls else None

    def credentials_of(self, spec: DeploymentSpec, vertex: VertexSpec, life_s: float | None = None) -> Credentials:
        """New credentials of a vertex, good for `life_s` or as the settings say. Raises as `issuer`."""
        life = self._settings.vertex_credentials_s if life_s is None else life_s
        return self.issuer.for_vertex(spec.name, vertex.name, life, has_outlet=vertex.endpoint == "out")
