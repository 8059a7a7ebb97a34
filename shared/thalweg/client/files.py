"""Registers files that were uploaded."""

from __future__ import annotations

from pydantic import ValidationError

from thalweg.api.files import REGISTER, File, Register
from thalweg.client.session import Session
from thalweg.errors import RejectedError
from thalweg.graph.pipeline import fault_lines


async def register(session: Session, artifact: str, artifact_type: str, name: str, lease: str = "") -> File:
    """Records an artifact that is in the store; waits while the coordinator looks into it. May be repeated.

    Args:
        session: an open line to the coordinator.
        artifact: its id.
        artifact_type: what it must be.
        name: its file name.
        lease: which is to own it; "" for the workspace.

    Raises:
        RejectedError: it is not in the store (`artifact.unknown`), or not of that type (`file.…`).
        UnreachableError: `coordinator.silent`.
    """
    try:
        request = Register(id=artifact, type=artifact_type, name=name, lease=lease or None)
    except ValidationError as error:
        raise RejectedError("\n".join(fault_lines(error, Register)), code="request.invalid") from error
    while True:
        found = await session.ask(REGISTER, request)
        if found.file is not None:
            return found.file
