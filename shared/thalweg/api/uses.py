"""Where a file or a secret is bound."""

from __future__ import annotations

from typing import Literal

from thalweg.graph.fields import Strict


class Use(Strict):
    """A slot of a vertex: of a backend at its newest revision, or of a deployment as it is stored."""

    kind: Literal["backend", "deployment"]
    name: str
    vertex: str
    slot: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.vertex}.{self.slot}"
