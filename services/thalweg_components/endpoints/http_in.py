"""http-in: records that people and programs outside send to a running deployment."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import component
from thalweg.graph.parse import parse_type
from thalweg.graph.types import StreamType

T = TypeVar("T")


class Params(BaseModel):
    """What is accepted, and how much of it."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="stream type of a record, as in `record{text: str, score: float?}` or `image`")
    max_body_bytes: int = Field(4_194_304, ge=1, le=67_108_864, description="size of one request or WebSocket message")
    rate_per_s: float = Field(1000.0, gt=0, description="records per second and token, on average")
    burst: int = Field(2000, ge=1, description="records at once")

    @field_validator("type")
    @classmethod
    def _is_type(cls, text: str) -> str:
        parse_type(text)
        return text


@component("http-in", version="1.0.0", combine="arrival", endpoint="in")
class HttpIn:
    """Records that people and programs outside send to a running deployment.

    **Ports**: `in` is the endpoint: records come by HTTP or WebSocket through the gateway, or from any NATS client that publishes
    msgpack to its subject; no edge goes there. `out` emits them.

    **Params**: `type`: stream type of a record. `max_body_bytes`, `rate_per_s`, `burst`: what the gateway lets through.

    **Times**: a record's event time is when the server stored it.

    **Faults**: the gateway refuses what is not of the type. What a NATS client sends and is not becomes a dead letter with the
    reason, whatever `on_error` says; the newest ones are kept.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """What was declared."""
        return {"out": parse_type(params.type)}

    def process(self, record: T) -> T:
        """The record as it came."""
        return record
