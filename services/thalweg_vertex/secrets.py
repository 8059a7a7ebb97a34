"""Takes a vertex's secrets from the pipe that its coordinator left, or from files that were mounted."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from thalweg.errors import RunFailedError
from thalweg.wire.spec import VertexSpec


def take_secrets(mine: VertexSpec, folder: Path | None = None) -> dict[str, str]:
    """Value per slot; standard input is empty afterwards. Blocking.

    Args:
        mine: whose.
        folder: holds a file for each slot, and standard input is left alone; None for standard input.

    Raises:
        RunFailedError: `secret.undelivered`, the coordinator has died while it wrote, or never did: start again.
    """
    if not mine.secrets:
        return {}
    if folder is not None:
        return {slot: _read(mine, folder / slot) for slot in mine.secrets}
    try:
        found = json.loads(sys.stdin.buffer.read())
        given = {slot: str(found[slot]) for slot in mine.secrets}
    except (ValueError, KeyError, TypeError, OSError):
        raise RunFailedError(f"{mine.name}: its secrets have not come", code="secret.undelivered") from None
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return given


def _read(mine: VertexSpec, path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise RunFailedError(f"{mine.name}: its secret of slot {path.name} cannot be read", code="secret.undelivered") from None
