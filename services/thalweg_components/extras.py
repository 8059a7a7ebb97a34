"""Says which extra of Thalweg has a library that a component needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from thalweg import RejectedError


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Around the imports of optional libraries, which are loaded only where they are used.

    Raises:
        RejectedError: one is not installed (`component.no_library`); the hint is what installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if str(error.name).startswith("thalweg"):
            raise
        hint = f"pip install 'thalweg[{extra}]'"
        raise RejectedError(f"the library {error.name} is not installed", code="component.no_library", hint=hint) from error
