"""python: runs the function of a file of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, InputFile, component
from thalweg.errors import RejectedError
from thalweg.graph.accept import find_conflict
from thalweg.graph.types import StreamType, format_type
from thalweg_components.processors.python_code import FUNCTION, PythonCode, source_of
from thalweg_components.type_params import MAX_TYPE, concrete_type

In = TypeVar("In")
Out = TypeVar("Out")


class Params(BaseModel):
    """What the function gives."""

    model_config = ConfigDict(extra="forbid")

    type: str | None = Field(
        None, max_length=MAX_TYPE, description="stream type that the function gives; without it, as its annotation says"
    )

    @field_validator("type")
    @classmethod
    def _is_type(cls, text: str | None) -> str | None:
        if text is not None:
            concrete_type(text)
        return text


@component("python", version="1.0.0")
class Python:
    """Runs the function `process(record)` of a Python file that is bound to it.

    **Files**: `code` (text): UTF-8, at most 1 MiB, with a function `def process(record)` or `def process(record, context)`, not
    async. It is an artifact like any other: pinned by its content, and named by the evidence.

    **Ports**: `in` takes any type. Fields of a record are attributes (`record.temp`). `out` emits what the function returns, nothing
    for None, and each one where it yields. A record may be a dict, or an instance of a class of the file.

    **Params**: `type`: stream type of what it gives (`record{name: str, score: float}`, `int`). Without it, the function's
    annotation decides, as far as it can be read without running the file: `bool`, `int`, `float`, `str`, `bytes`, `datetime`,
    `timedelta`, `Any`, `list[T]`, `dict[str, T]`, `T | None`, `Iterator[T]`, and classes of the file whose fields have such
    annotations. An annotation of the argument is checked against what arrives.

    **Determinism**: the same record must give the same result. Use `context.now()` and `context.random`, no clock, no network, and
    no state kept from record to record: it would not live through a restart. For those, write a component.

    **Faults**: a file that does not parse, has no such function, or whose types cannot be told is rejected before it runs; the file is
    not run then. What the function raises is a faulty record, told with its line. Only what is installed where the vertex
    runs can be imported. The code has the rights of its vertex, as a component of your own has.
    """

    params: Params
    code: Annotated[InputFile, "text"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """What was declared, or what the function says."""
        code = PythonCode(source_of(files["code"])) if "code" in files else None
        wanted = code.input_type() if code else None
        conflict = find_conflict(inputs["in"], wanted) if wanted else None
        if conflict is not None and wanted is not None:
            at = f" at {conflict.path}" if conflict.path else ""
            raise RejectedError(f"code: {FUNCTION} takes {format_type(wanted)}; {conflict.reason}{at}", code="graph.port_type_mismatch")
        if params.type is not None:
            return {"out": concrete_type(params.type)}
        found = code.output_type() if code else None
        if found is None:
            hint = "declare it: params: {type: 'record{…}'}, or annotate the function"
            raise RejectedError(f"type: what {FUNCTION} gives cannot be told", code="params.invalid", hint=hint)
        return {"out": found}

    def setup(self, context: Context) -> None:
        """Runs the file."""
        self._call = PythonCode(source_of(self.code.path)).load(self.code.path.name)

    def process(self, record: In, context: Context) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """What the function gives."""
        found: Any = self._call(record, context)
        return found  # type: ignore[no-any-return]
