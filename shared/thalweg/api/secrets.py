"""Calls about secrets; a value goes in and never comes out."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from thalweg.api.calls import Call, Nothing
from thalweg.api.leases import Leased
from thalweg.api.uses import Use
from thalweg.graph.fields import Line, Name, Strict

MAX_VALUE_BYTES = 64 << 10
MIN_VALUE_CHARACTERS = 4  # a shorter one could not be kept out of logs: its mask would be everywhere


def _check_value(value: Any) -> str:
    """The value, in bounds; what is said of one that is not never shows it."""
    if not isinstance(value, str):
        raise ValueError("a secret is text")
    size = len(value.encode(errors="surrogatepass"))
    if size > MAX_VALUE_BYTES:
        raise ValueError(f"a secret has at most {MAX_VALUE_BYTES:,} bytes; this one has {size:,}")
    if len(value.strip()) < MIN_VALUE_CHARACTERS:
        what = "is empty" if not value.strip() else "is too short to be kept out of logs"
        raise ValueError(f"a secret has at least {MIN_VALUE_CHARACTERS} characters; this one {what}")
    return value


class SetSecret(Leased):
    """A secret's new value."""

    name: Name
    value: Annotated[str, BeforeValidator(_check_value)] = Field(repr=False)
    author: Line = Field(min_length=1, max_length=200)


class WhichSecret(Leased):
    """A secret by its name."""

    name: Name


class SecretInfo(Strict):
    """All that is told of a secret: when it was set, by whom, where it is bound, which lease owns it ("": the workspace)."""

    name: Name
    time_ns: int
    author: str
    lease: str = ""
    uses: list[Use] = Field(default_factory=list)


class SecretsListed(Strict):
    """All secrets of the workspace, by name."""

    secrets: list[SecretInfo]


SET = Call("secret", "set", SetSecret, SecretInfo)
LIST = Call("secret", "list", Nothing, SecretsListed)
REMOVE = Call("secret", "remove", WhichSecret, SecretInfo)
