"""The pipeline file: its models, how it is read, its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import Field, ValidationError, model_serializer, model_validator

from thalweg.errors import RejectedError
from thalweg.graph.fields import NAME_PATTERN, ComponentName, Digest, FileName, FileText, JsonMap, Key, Name, Strict

MAX_FILE_BYTES = 4 << 20
MAX_VERTICES = 1_000
MAX_EDGES = 5_000
MAX_SLOTS = 100
MAX_TEXT = 400  # of an edge: four names, with room for spaces


OnError = Literal["fail", "dead-letter", "retry"]
Partitions = Annotated[int, Field(ge=1, le=1)]


class Vertex(Strict):
    """One vertex: a pinned release, its params, and what is bound to it."""

    component: ComponentName = Field(description="name@version of a component release")
    digest: Digest | None = Field(None, description="content digest of the pinned release")
    params: JsonMap = Field({}, description="what the release's params schema asks for")
    files: dict[Name, FileText] = Field(
        {}, max_length=MAX_SLOTS, description="input file slot -> path relative to this file, or sha256:… of an artifact"
    )
    secrets: dict[Name, Name] = Field({}, max_length=MAX_SLOTS, description="secret slot -> name of a workspace secret")
    generated: dict[Name, FileName] = Field({}, max_length=MAX_SLOTS, description="generated file slot -> file name to save it under")
    partitions: Partitions = 1
    key: Key | None = None
    on_error: OnError = "fail"


class Count(Strict):
    """Bounds of a record count."""

    min: int | None = Field(None, ge=0)
    max: int | None = Field(None, ge=0)


class Expectation(Strict):
    """What a run must have put out on a port."""

    vertex: Name
    port: Name = "out"
    count: Count

    def __str__(self) -> str:
        bounds = [f"{name} {bound}" for name, bound in (("min", self.count.min), ("max", self.count.max)) if bound is not None]
        return f"{self.vertex}.{self.port} count {', '.join(bounds) or 'any'}"


class _Text(Strict):
    """A model that is written as one line of text, and read from it."""

    form: ClassVar[str]
    parser: ClassVar[re.Pattern[str]]

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = cls.parser.fullmatch(value.strip()) if len(value) <= MAX_TEXT else None
        if found is None:
            raise ValueError(f"{value[:200]!r} is not of the form {cls.form!r}")
        return found.groupdict()

    @model_serializer
    def _write(self) -> str:
        return str(self)


class Edge(_Text):
    """`src.port -> dst.port`."""

    form = "vertex.port -> vertex.port"
    parser = re.compile(r"(?P<src_vertex>[^.]+)\.(?P<src_port>.+?)\s*->\s*(?P<dst_vertex>[^.]+)\.(?P<dst_port>.+)")
    src_vertex: Name
    src_port: Name
    dst_vertex: Name
    dst_port: Name

    def __str__(self) -> str:
        return f"{self.src_vertex}.{self.src_port} -> {self.dst_vertex}.{self.dst_port}"


class Endpoint(_Text):
    """`vertex.endpoint`: what an alias stands for."""

    form = "vertex.endpoint"
    parser = re.compile(r"(?P<vertex>[^.]+)\.(?P<endpoint>.+)")
    vertex: Name
    endpoint: Name

    def __str__(self) -> str:
        return f"{self.vertex}.{self.endpoint}"


class Pipeline(Strict):
    """A pipeline file: a graph that may be half built, or wrong."""

    backend: Name
    vertices: dict[Name, Vertex] = Field({}, max_length=MAX_VERTICES)
    edges: list[Edge] = Field([], max_length=MAX_EDGES)
    expect: list[Expectation] = Field([], max_length=MAX_EDGES)
    aliases: dict[Name, Endpoint] = Field({}, max_length=MAX_EDGES, description="stable name for applications -> vertex.endpoint")


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
    return read_pipeline(content, str(path))


def read_pipeline(content: Any, what: str) -> Pipeline:
    """The pipeline that a file's content spells; `what` begins each line of the message.

    Raises:
        RejectedError: `pipeline.invalid`.
    """
    try:
        return Pipeline.model_validate(content)
    except ValidationError as error:
        raise RejectedError("\n".join(f"{what}: {line}" for line in fault_lines(error)), code="pipeline.invalid") from error


def fault_lines(error: ValidationError) -> list[str]:
    """Each fault as `path: message`."""
    return [f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors()]


def pipeline_json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a pipeline file; edges and endpoints are strings there."""
    schema = Pipeline.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    end = NAME_PATTERN.strip("^$")
    end = rf"{end}\.{end}"
    schema["$defs"]["Edge"] = {"type": "string", "pattern": rf"^{end} *-> *{end}$"}
    schema["$defs"]["Endpoint"] = {"type": "string", "pattern": rf"^{end}$"}
    return schema


class _UniqueKeys(yaml.SafeLoader):
    """YAML that refuses a key given twice, where the plain loader would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # the plain loader refuses it
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
