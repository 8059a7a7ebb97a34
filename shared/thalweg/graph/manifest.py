"""The release manifest: what one immutable `name@version` declares."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Combine = Literal["arrival", "event-time", "zip", "latest"]
"""How several inputs are combined: as they come, in order of time, one of each, the latest of each."""
Memory = Literal["none", "state", "times"]
"""What of the records before goes into what becomes of a record: nothing; a state; a state of which event time sets records off, too."""


class FileSlot(BaseModel):
    """An input file that a release needs: the artifact type it accepts, and the columns that a table must have, as stream types."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    type: str
    required: bool = True
    columns: dict[str, str] = {}


class GeneratedSlot(BaseModel):
    """A file that a release leaves: its artifact type and the name it is saved under unless the graph gives one."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    type: str
    default_name: str


class Manifest(BaseModel):
    """A release manifest; types are spelled as `format_type` does, `params_schema` is JSON Schema 2020-12."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    version: str
    kind: Literal["source", "processor", "sink"]
    inputs: dict[str, str] = {}
    optional_inputs: list[str] = []
    outputs: dict[str, str] = {}
    params_schema: dict[str, Any] = {}
    file_schema: dict[str, FileSlot] = {}
    generated_file_schema: dict[str, GeneratedSlot] = {}
    secrets: list[str] = []
    optional_secrets: list[str] = []
    endpoint: Literal["", "in", "out"] = ""  # the port of that name is open to the outside, and no edge goes there
    ports_param: str = ""  # the keys of this param, a mapping, are output ports too
    converter: bool = False  # may be suggested where an edge is refused
    has_probe: bool = False  # can say whether what it needs outside can be reached
    deterministic: bool = True
    stateful: bool = False  # records of one key must come to one partition
    sees_watermarks: bool = False  # gives records as event time goes on
    combine: Combine = "event-time"
    summary: str = ""
    help: str = ""
    digest: str = ""
    code: str = ""
    archive: str = ""  # artifact id of the source of a published release

    @property
    def memory(self) -> Memory:
        """See `Memory`."""
        if self.sees_watermarks:
            return "times"
        return "state" if self.stateful or (self.combine in ("zip", "latest") and len(self.inputs) > 1) else "none"
