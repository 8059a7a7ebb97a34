"""Params of components that speak to a NATS server of somebody else's."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

_SCHEMES = ("nats", "tls", "ws", "wss")


class ServerParams(BaseModel):
    """Which server."""

    model_config = ConfigDict(extra="forbid")

    servers: list[str] = Field(min_length=1, max_length=32, description="URLs of the servers of one cluster, as in nats://broker:4222")

    @field_validator("servers")
    @classmethod
    def _are_servers(cls, servers: list[str]) -> list[str]:
        for one in servers:
            parts = urlsplit(one)
            if parts.username or parts.password:
                raise ValueError("servers: credentials are secrets: bind the slots user and password, token, or credentials")
            if parts.scheme not in _SCHEMES or not parts.hostname:
                raise ValueError(f"servers: {one[:80]!r} is not the URL of a NATS server, as in nats://broker:4222 or tls://broker:4222")
        return servers


def check_subject(text: str, *, wildcards: bool) -> str:
    """A subject, or a filter of subjects.

    Raises:
        ValueError: it is none.
    """
    tokens = text.split(".")
    is_filter = all(">" not in one or (one == ">" and index == len(tokens) - 1) for index, one in enumerate(tokens))
    is_plain = all(one and not any(letter.isspace() for letter in one) for one in tokens)
    has_wildcards = any(one in ("*", ">") for one in tokens)
    if not is_plain or not is_filter or len(text) > 4096 or (has_wildcards and not wildcards):
        raise ValueError(f"{text[:80]!r} is no subject" + ("" if wildcards else " to publish on"))
    return text
