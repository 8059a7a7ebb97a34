"""Takes a vertex's secrets from the pipe that its coordinator left."""

from __future__ import annotations

import json
import os
import sys

from thalweg.errors import RunFailedError
from thalweg.wire.spec import VertexSpec


def take_secrets(mine: VertexSpec) -> dict[str, str]:
    """Value per slot; standard input is empty afterwards. Blocking.

    Raises:
        RunFailedError: `secret.undelivered`, the coordinator has died while it wrote, or never did: start again.
    """
    if not mine.secrets:
        return {}
    try:
        found = json.loads(sys.stdin.buffer.read())
        given = {slot: str(found[slot]) for slot in mine.secrets}
    except (ValueError, KeyError, TypeError, OSError):
        raise RunFailedError(f"{mine.name}: its secrets have not come", code="secret.undelivered") from None
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return given
