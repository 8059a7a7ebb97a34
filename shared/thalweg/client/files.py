"""Registers files that were uploaded."""

from __future__ import annotations

from thalweg.api.files import REGISTER, File, Register
from thalweg.client.session import Session


async def register(session: Session, artifact: str, artifact_type: str, name: str) -> File:
    """Records an artifact that is in the store; waits while the coordinator looks into it. May be repeated.

    Args:
        session: an open line to the coordinator.
        artifact: its id.
        artifact_type: what it must be.
        name: its file name.

    Raises:
        RejectedError: it is not in the store (`artifact.unknown`), or not of that type (`file.…`).
        UnreachableError: `coordinator.silent`.
    """
    while True:
        found = await session.ask(REGISTER, Register(id=artifact, type=artifact_type, name=name))
        if found.file is not None:
            return found.file
