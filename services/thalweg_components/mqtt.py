"""Where an MQTT broker is, as params say it."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_EXAMPLE = "mqtt://broker.example:1883, or mqtts://… for TLS"


class Broker(NamedTuple):
    """An address: host, port, and whether it is spoken to by TLS."""

    host: str
    port: int
    is_tls: bool

    @property
    def url(self) -> str:
        """As people write it."""
        return f"{'mqtts' if self.is_tls else 'mqtt'}://{self.host}:{self.port}"


def parse_broker(text: str) -> Broker:
    """The address in a URL.

    Raises:
        ValueError: it is none, or has a user, a password or a path in it.
    """
    parts = urlsplit(text)
    if parts.username or parts.password:
        raise ValueError("user and password are secrets: bind the slots user and password")
    if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"not the URL of an MQTT broker: {_EXAMPLE}")
    return Broker(parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme == "mqtts")


class BrokerParams(BaseModel):
    """Which broker, and how its connection is watched."""

    model_config = ConfigDict(extra="forbid")

    broker: str = Field(description=f"URL without user and password: {_EXAMPLE}")
    keepalive_s: int = Field(30, ge=2, le=3600, description="an idle connection is tried so often, in seconds")

    @field_validator("broker")
    @classmethod
    def _is_broker(cls, text: str) -> str:
        parse_broker(text)
        return text


def check_filter(text: str) -> str:
    """A topic filter as MQTT has it: `+` stands for one level, `#` for all that follow.

    Raises:
        ValueError: it is none.
    """
    levels = text.split("/")
    faulty = any(("+" in level or "#" in level) and len(level) > 1 for level in levels) or "#" in levels[:-1]
    if not text or faulty or "\0" in text or len(text.encode()) > 65_535:
        raise ValueError(f"{text[:80]!r} is no topic filter: + and # stand for whole levels, # for the last one only")
    return text


def check_topic(text: str) -> str:
    """A topic that can be published to.

    Raises:
        ValueError: it is empty, too long or has a wildcard in it.
    """
    if not text or any(one in text for one in "+#\0") or len(text.encode()) > 65_535:
        raise ValueError(f"{text[:80]!r} is no topic to publish to")
    return text
