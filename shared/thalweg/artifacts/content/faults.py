"""The errors of content checks."""

from __future__ import annotations

from typing import Any

from thalweg.errors import RejectedError

Facts = dict[str, Any]
"""JSON-compatible facts of an artifact."""


def mismatch(where: str, why: str, hint: str | None = None) -> RejectedError:
    """The content is not of the declared type (`file.content_mismatch`).

    Args:
        where: place in the file that a person can look up.
        why: what is wrong there, on one line.
        hint: what would help.
    """
    first = (why.splitlines() or [""])[0]
    return RejectedError(f"{where}: {first}", code="file.content_mismatch", hint=hint, where=where)


def unsafe(where: str, why: str) -> RejectedError:
    """The content could do harm when it is unpacked (`file.unsafe`)."""
    return RejectedError(f"{where}: {why}", code="file.unsafe", where=where)
