"""An open line to the coordinator of a workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from pydantic import BaseModel

from thalweg.api.calls import Call
from thalweg.bus.connection import Client, connect_as
from thalweg.bus.micro import CALL_TIMEOUT_S, ask
from thalweg.errors import UsageError
from thalweg.settings import Settings

Q = TypeVar("Q", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)


class Session:
    """Asks the coordinator. Made by `open_session`.

    Attributes:
        client: the NATS connection.
        workspace: whose coordinator is asked.
    """

    def __init__(self, client: Client, workspace: str) -> None:
        self.client, self.workspace = client, workspace

    async def ask(self, call: Call[Q, R], request: Q, timeout_s: float = CALL_TIMEOUT_S) -> R:
        """One call of `thalweg.api`.

        Raises:
            ThalwegError: what the coordinator answered, of the class that fits.
            UnreachableError: `coordinator.silent`, when none answers in time; whether it was carried out is not known then.
        """
        return await ask(self.client, self.workspace, call, request, timeout_s)


@asynccontextmanager
async def open_session(settings: Settings) -> AsyncIterator[Session]:
    """Connects to the servers that are given.

    Raises:
        UsageError: `settings.missing`, when no server is given.
        UnreachableError: `nats.unreachable`.
    """
    if settings.nats_url is None:
        raise UsageError(
            "no server is given: THALWEG_NATS_URL is not set",
            code="settings.missing",
            hint="`thalweg up` starts one, and prints the variables to set",
        )
    client = await connect_as(settings, "thalweg")
    try:
        yield Session(client, settings.workspace)
    finally:
        await client.close()
