"""Calls about evidence: what there is, one document, whose key has signed."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from thalweg.api.calls import Call, Nothing
from thalweg.graph.fields import Name, Strict


class Item(Strict):
    """One line of a list."""

    id: str
    deployment: str
    backend: str
    revision: int
    verdict: str
    finished_ns: int


class Items(Strict):
    """All evidence of the workspace, oldest first."""

    evidence: list[Item]


class WhichEvidence(Strict):
    """One document."""

    id: Name


class Document(Strict):
    """A signed document, and the public key of the workspace."""

    document: dict[str, Any]
    key: str


class PublicKey(Strict):
    """The public key that the workspace signs with."""

    key: str = Field(min_length=1)


LIST = Call("evidence", "list", Nothing, Items)
SHOW = Call("evidence", "show", WhichEvidence, Document)
KEY = Call("evidence", "key", Nothing, PublicKey)
