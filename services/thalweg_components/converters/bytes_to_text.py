"""bytes-to-text: decodes text."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, RecordError, component
from thalweg.graph.types import BYTES, STR, StreamType
from thalweg_components.encodings import Encoding
from thalweg_components.one_field import OneField, changed_type, one_of

In = TypeVar("In")
Out = TypeVar("Out")


class Params(BaseModel):
    """How it is decoded."""

    model_config = ConfigDict(extra="forbid")

    field: str | None = Field(None, description="field that holds the bytes; without it, the record is the bytes")
    encoding: Encoding = Field("utf-8", description="of the bytes")
    faults: Literal["fail", "replace"] = Field("fail", description="bytes that are no text: a faulty record, or U+FFFD in their place")


@component("bytes-to-text", version="1.0.0", converter=True)
class BytesToText:
    """Turns bytes into text.

    **Ports**: `in` takes `bytes`, or records with a field that is such; `out` emits `str`, or the records with `str` there.

    **Params**: `field` (of records), `encoding` (`utf-8`, `utf-16-le`, `utf-16-be`, `latin-1`, `ascii`), `faults` (`fail`, or
    `replace` for U+FFFD in place of bytes that are no text).

    **Nulls** stay null. **Faults**: bytes that are no text of the encoding are a faulty record that names the first one's offset.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Text in the bytes' place."""
        return {"out": changed_type(inputs["in"], params.field, one_of(BYTES, gives=STR))}

    def setup(self, context: Context) -> None:
        """Sees where the bytes are."""
        self._errors = "replace" if self.params.faults == "replace" else "strict"
        self._place = OneField(self.params.field, context, self._decode)

    def process(self, record: In) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The text."""
        return self._place.apply(record)  # type: ignore[no-any-return]

    def _decode(self, data: bytes) -> str:
        try:
            return data.decode(self.params.encoding, self._errors)
        except UnicodeDecodeError as error:
            raise RecordError(f"the byte at {error.start} (0x{data[error.start]:02x}) is not {self.params.encoding}") from None
