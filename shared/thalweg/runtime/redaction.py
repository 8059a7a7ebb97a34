"""What a vertex that has secrets takes out of all that it writes; implemented by `thalweg.sealed.redaction`."""

from __future__ import annotations

from typing import Protocol


class Redaction(Protocol):
    """Takes secrets out."""

    def text(self, text: str) -> str:
        """The text without them."""

    def packed(self, data: bytes, *, numbers: bool = False) -> bytes:
        """A msgpack value without them; numbers that spell one become text only where that is asked for."""

    def is_in(self, data: bytes) -> bool:
        """Whether bytes hold one of them."""


class Nothing:
    """The redaction of a vertex without secrets."""

    def text(self, text: str) -> str:
        """The same."""
        return text

    def packed(self, data: bytes, *, numbers: bool = False) -> bytes:
        """The same."""
        return data
