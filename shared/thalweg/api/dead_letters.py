"""Calls about dead letters: give them again to the vertex that refused them, or drop them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from thalweg.api.calls import Call
from thalweg.api.leases import Leased
from thalweg.graph.fields import Name, Strict

MAX_NAMED = 1000
PARTITION_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}(~[0-9]{1,4})?$"
SETTLE_TIMEOUT_S = 60.0


class Which(Strict):
    """A dead letter: its message on the log, and its place in that."""

    sequence: int = Field(ge=1, le=2**63 - 1)
    index: int = Field(0, ge=0, le=2**31)


class Settle(Leased):
    """What is to be done about dead letters of a vertex.

    Attributes:
        vertex: or one partition of it, as `alarm~2`.
        letters: which; without any, all that are open.
        value: what is given in place of the record of the only letter that is named, as JSON of the port's type.
    """

    name: Name
    vertex: str = Field(pattern=PARTITION_PATTERN)
    action: Literal["redrive", "drop"]
    letters: list[Which] = Field(default_factory=list, max_length=MAX_NAMED)
    value: Any = None
    has_value: bool = False

    @model_validator(mode="after")
    def _is_one(self) -> Settle:
        if self.has_value and (self.action != "redrive" or len(self.letters) != 1):
            raise ValueError("value: stands for one letter that is given again")
        return self


class Done(Strict):
    """What was done: letters given again or dropped, and those left as they were because their records are not kept whole."""

    done: int
    left: int = 0


SETTLE = Call("deployment", "settle-dead-letters", Settle, Done)
