"""log-sink: writes records into the log of the vertex."""

from __future__ import annotations

import logging
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, Receipt, component
from thalweg.graph.types import StreamType
from thalweg_components.payloads import payload_of
from thalweg_components.text_template import TextTemplate

T = TypeVar("T")


class Params(BaseModel):
    """What is written of each record."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(None, max_length=65_536, description="{…} are expressions, as in `{station}: {temp:.1f}`; without it, JSON")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="of the log records")
    max_bytes: int = Field(2000, ge=16, le=65_536, description="of a line; what is longer is cut")


@component("log-sink", version="1.0.0")
class LogSink:
    """Writes each record into the log of its vertex, where `thalweg logs` shows it.

    **Ports**: `in` takes any type. `receipts` says that it was written.

    **Params**: `text` (a template with expressions; by default the record as JSON, images and bytes as their size), `level` (`info`),
    `max_bytes` (2,000).

    **Delivery**: logs are bounded in rate and size: of many records, some are dropped there, and counted. A record may be there twice
    where the vertex is killed before its commit. Expressions need `thalweg[cel]`.
    """

    params: Params

    def setup(self, context: Context) -> None:
        """Reads the template."""
        self._logger, self._level = context.logger, getattr(logging, self.params.level.upper())
        source: StreamType = context.input_type("in")
        self._template = TextTemplate(self.params.text, source, "null") if self.params.text is not None else None

    def process(self, record: T) -> Receipt:
        """Writes a line."""
        text = _shown(record) if self._template is None else self._template.write(record)
        self._logger.log(self._level, "%s", text[: self.params.max_bytes])
        return Receipt("log")


def _shown(record: object) -> str:
    data = payload_of(record)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"{len(data):,} bytes"
