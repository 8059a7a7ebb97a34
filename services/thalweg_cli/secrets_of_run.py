"""The secrets of a run: in the store of the coordinator that runs, or else in the environment."""

from __future__ import annotations

import os
from collections.abc import Sequence

from thalweg.api.calls import Nothing
from thalweg.api.secrets import LIST, SetSecret
from thalweg.bus.connection import Client
from thalweg.bus.micro import ask
from thalweg.errors import RejectedError
from thalweg.graph.plan import PlannedVertex
from thalweg.settings import SEALING_KEYS, SECRET_PREFIX
from thalweg.wire.spec import VertexSpec

Vertices = Sequence[PlannedVertex] | Sequence[VertexSpec]


def given_secrets(vertices: Vertices) -> dict[str, str]:
    """Values by name of all secrets that vertices bind, from `THALWEG_SECRET_<NAME>`.

    Raises:
        RejectedError: `secret.unset`, or a value that no secret can have (`secret.invalid`).
    """
    return {name: _given(vertex, name) for vertex, name in _bound(vertices)}


async def check_stored(client: Client, workspace: str, vertices: Vertices) -> None:
    """Raises RejectedError (`secret.unknown`) when a vertex binds a secret that the coordinator does not have."""
    bound = _bound(vertices)
    if not bound:
        return
    known = {one.name for one in (await ask(client, workspace, LIST, Nothing())).secrets}
    for vertex, name in bound:
        if name not in known:
            hint = f"thalweg secret set {name}"
            raise RejectedError(f"vertex {vertex}: there is no secret {name}", code="secret.unknown", hint=hint, secret=name)


def _bound(vertices: Vertices) -> list[tuple[str, str]]:
    return [(vertex.name, name) for vertex in vertices for name in vertex.secrets.values()]


def _given(vertex: str, name: str) -> str:
    variable = SECRET_PREFIX + name.upper().replace("-", "_")
    if variable in SEALING_KEYS:
        what = f"vertex {vertex}: secret {name} cannot come from the environment: {variable} is the key that seals secrets"
        raise RejectedError(what, code="secret.unset", hint="bind a secret of another name", secret=name)
    if variable not in os.environ:
        hint = "or use `thalweg up` and `thalweg secret set`"
        raise RejectedError(f"vertex {vertex}: secret {name}: {variable} is not set", code="secret.unset", hint=hint, secret=name)
    try:
        return SetSecret(name=name, value=os.environ[variable], author="environment").value
    except ValueError:  # its own message may show what was given
        raise RejectedError(f"{variable}: not between 4 characters and 64 KiB", code="secret.invalid", secret=name) from None
