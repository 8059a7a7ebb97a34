"""jsonl-file: leaves the records that arrive as JSON lines."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from thalweg import Context, GeneratedFile, component

T = TypeVar("T")


@component("jsonl-file", version="1.0.0")
class JsonlFile:
    """Leaves the records that arrive as JSON lines, in the order in which they arrive.

    **Ports**: `in` takes any type; one value becomes one line of UTF-8, fields in their declared order.

    **Generates** `file` (jsonl, `records.jsonl`). Timestamps are ISO 8601 in UTC, durations ISO 8601, bytes base64; NaN and
    the infinities, which JSON does not have, are null. The same records give the same bytes.

    **Faults**: none of its own; a stream without records leaves an empty file.
    """

    file: Annotated[GeneratedFile, "jsonl", "records.jsonl"]

    def setup(self, context: Context) -> None:
        """Opens the file."""
        self._out = self.file.path.open("wb")
        self._encode = msgspec.json.Encoder().encode

    def process(self, record: T, context: Context) -> None:
        """Adds a line."""
        self._out.write(self._encode(record) + b"\n")

    def finish(self, context: Context) -> None:
        """Completes the file."""
        self._out.close()

    def close(self) -> None:
        """Lets go of the file, wherever it stands."""
        if hasattr(self, "_out"):
            self._out.close()
