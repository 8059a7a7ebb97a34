"""The pipeline file: its models, how it is read, its JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from thalweg.errors import RejectedError

MAX_FILE_BYTES = 4 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Vertex(_Strict):
    """One vertex: a pinned release, its params, and what is bound to it."""

    component: str = Field(description="name@version of a component release")
    params: dict[str, Any] = {}
    files: dict[str, str] = Field({}, description="input file slot -> path relative to this file, or sha256:… of an artifact")
    secrets: dict[str, str] = {}
    generated: dict[str, str] = Field({}, description="generated file slot -> file name to save it under")
    partitions: int = Field(1, ge=1, le=1)
    key: str | None = None
    on_error: Literal["fail", "dead-letter", "retry"] = "fail"


class Count(_Strict):
    """Bounds of a record count."""

    min: int | None = Field(None, ge=0)
    max: int | None = Field(None, ge=0)


class Expectation(_Strict):
    """What a run must have put out on a port."""

    vertex: str
    port: str = "out"
    count: Count


class Edge(_Strict):
    """`src.port -> dst.port`."""

    src_vertex: str
    src_port: str
    dst_vertex: str
    dst_port: str

    def __str__(self) -> str:
        return f"{self.src_vertex}.{self.src_port} -> {self.dst_vertex}.{self.dst_port}"


class Pipeline(_Strict):
    """A pipeline file."""

    backend: str
    vertices: dict[str, Vertex] = Field(min_length=1)
    edges: list[Edge] = []
    expect: list[Expectation] = []

    @field_validator("edges", mode="before")
    @classmethod
    def _read_edges(cls, value: Any) -> Any:
        return [_read_edge(one) if isinstance(one, str) else one for one in value] if isinstance(value, list) else value


def load_pipeline(path: Path) -> Pipeline:
    """Reads a pipeline file.

    Raises:
        RejectedError: `pipeline.unreadable` or `pipeline.invalid`; the message lists every fault with its path.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise RejectedError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes", code="pipeline.unreadable")
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except OSError as error:
        raise RejectedError(f"{path} cannot be read: {error.strerror}", code="pipeline.unreadable") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RejectedError(f"{path} is not YAML: {' '.join(str(error).split())}", code="pipeline.unreadable") from error
    try:
        return Pipeline.model_validate(content)
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in error.errors()]
        raise RejectedError("\n".join(lines), code="pipeline.invalid") from error


def pipeline_json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a pipeline file; edges are strings there."""
    schema = Pipeline.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$defs"].pop("Edge")
    token = "[A-Za-z0-9][A-Za-z0-9_-]*"
    pattern = rf"^{token}\.{token} *-> *{token}\.{token}$"
    schema["properties"]["edges"] = {"type": "array", "items": {"type": "string", "pattern": pattern}}
    return schema


def _read_edge(text: str) -> dict[str, str]:
    source, arrow, target = text.partition("->")
    ends = [end.strip().partition(".") for end in (source, target)]
    if not arrow or not all(vertex and port for vertex, _, port in ends):
        raise ValueError(f"{text!r} is not of the form 'vertex.port -> vertex.port'")
    return {"src_vertex": ends[0][0], "src_port": ends[0][2], "dst_vertex": ends[1][0], "dst_port": ends[1][2]}


class _UniqueKeys(yaml.SafeLoader):
    """YAML that refuses a key given twice, where the plain loader would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", node.value[index][0].start_mark)
        return super().construct_mapping(node, deep)
