"""text-to-bytes: encodes text."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, RecordError, component
from thalweg.graph.types import BYTES, STR, StreamType
from thalweg_components.encodings import Encoding
from thalweg_components.one_field import OneField, changed_type, one_of

In = TypeVar("In")
Out = TypeVar("Out")


class Params(BaseModel):
    """How it is encoded."""

    model_config = ConfigDict(extra="forbid")

    field: str | None = Field(None, description="field that holds the text; without it, the record is the text")
    encoding: Encoding = Field("utf-8", description="of the bytes")


@component("text-to-bytes", version="1.0.0", converter=True)
class TextToBytes:
    """Turns text into bytes.

    **Ports**: `in` takes `str`, or records with a field that is one; `out` emits `bytes`, or the records with `bytes` there.

    **Params**: `field` (of records), `encoding` (`utf-8`, `utf-16-le`, `utf-16-be`, `latin-1`, `ascii`).

    **Nulls** stay null. **Faults**: text that the encoding does not have is a faulty record.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Bytes in the text's place."""
        return {"out": changed_type(inputs["in"], params.field, one_of(STR, gives=BYTES))}

    def setup(self, context: Context) -> None:
        """Sees where the text is."""
        self._place = OneField(self.params.field, context, self._encode)

    def process(self, record: In) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The bytes."""
        return self._place.apply(record)  # type: ignore[no-any-return]

    def _encode(self, text: str) -> bytes:
        try:
            return text.encode(self.params.encoding)
        except UnicodeEncodeError as error:
            raise RecordError(f"character {error.start} is not in {self.params.encoding}") from None
