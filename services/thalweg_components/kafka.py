"""Which Kafka brokers, and how they are spoken to, as params say it."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import InputFile, RejectedError, Secret

_BROKER = re.compile(r"^[\w.-]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$")
_PROTOCOLS = {(False, False): "plaintext", (True, False): "ssl", (False, True): "sasl_plaintext", (True, True): "sasl_ssl"}


class KafkaParams(BaseModel):
    """Which brokers, and how they are spoken to."""

    model_config = ConfigDict(extra="forbid")

    brokers: list[str] = Field(min_length=1, max_length=64, description="some of the cluster's, as HOST:PORT")
    topic: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$", description="one topic")
    tls: bool = Field(False, description="TLS, with the certificates of the system or of the file ca")
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field("SCRAM-SHA-512", description="of SASL, where a user is bound")

    @field_validator("brokers")
    @classmethod
    def _are_brokers(cls, brokers: list[str]) -> list[str]:
        for one in brokers:
            if not _BROKER.match(one):
                raise ValueError(f"brokers: {one[:80]!r} is not HOST:PORT")
        return brokers

    def target(self) -> str:
        """The topic, as people would name it."""
        return f"kafka://{self.brokers[0]}/{self.topic}"

    def settings(self, user: Secret | None, password: Secret | None, ca: InputFile | None) -> dict[str, Any]:
        """Of a client, as librdkafka has them.

        Raises:
            RejectedError: `secret.unbound`, only one of user and password is bound.
        """
        if (user is None) != (password is None):
            raise RejectedError("user and password go together", code="secret.unbound", hint="secrets: {user: NAME, password: NAME}")
        found: dict[str, Any] = {
            "bootstrap.servers": ",".join(self.brokers),
            "client.id": "thalweg",
            "security.protocol": _PROTOCOLS[self.tls, user is not None],
            "reconnect.backoff.max.ms": 5000,
        }
        if user is not None and password is not None:
            found |= {"sasl.mechanism": self.mechanism, "sasl.username": user.reveal(), "sasl.password": password.reveal()}
        return found if ca is None else found | {"ssl.ca.location": str(ca.path)}
