"""The pipeline file: its models, how it is read, its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, model_serializer, model_validator

from thalweg.errors import RejectedError
from thalweg.graph.fields import NAME_PATTERN, ComponentName, Digest, FileName, FileText, JsonMap, Key, Name, Strict
from thalweg.graph.wording import data_faults

MAX_FILE_BYTES = 4 << 20
MAX_VERTICES = 1_000
MAX_EDGES = 5_000
MAX_SLOTS = 100
MAX_TEXT = 400  # of an edge: four names, with room for spaces


OnError = Literal["fail", "dead-letter", "retry"]
Partitions = Annotated[int, Field(ge=1, le=64)]


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

    @model_validator(mode="after")
    def _min_is_not_above_max(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:,} is more than max {self.max:,}")
        return self


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
    example: ClassVar[str]
    parser: ClassVar[re.Pattern[str]]

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if isinstance(value, dict) and all(name in cls.model_fields for name in value):
            return value
        if not isinstance(value, str):
            raise ValueError(f"must be text of the form {cls.form!r}, as in {cls.example!r}")
        found = cls.parser.fullmatch(value.strip()) if len(value) <= MAX_TEXT else None
        if found is None:
            raise ValueError(f"{value[:200]!r} is not of the form {cls.form!r}, as in {cls.example!r}")
        return found.groupdict()

    @model_serializer
    def _write(self) -> str:
        return str(self)


class Edge(_Text):
    """`src.port -> dst.port`."""

    form = "vertex.port -> vertex.port"
    example = "rows.out -> wet.in"
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
    example = "wet.latest"
    parser = re.compile(r"(?P<vertex>[^.]+)\.(?P<endpoint>.+)")
    vertex: Name
    endpoint: Name

    def __str__(self) -> str:
        return f"{self.vertex}.{self.endpoint}"


class Pipeline(Strict):
    """A pipeline file: a graph that may be half built, or wrong."""

    backend: Name = Field(description="name of the graph")
    vertices: dict[Name, Vertex] = Field({}, max_length=MAX_VERTICES, description="name: {component: name@version, …}")
    edges: list[Edge] = Field([], max_length=MAX_EDGES, description="vertex.port -> vertex.port")
    expect: list[Expectation] = Field([], max_length=MAX_EDGES, description="{vertex: NAME, port: NAME, count: {min: N, max: N}}")
    aliases: dict[Name, Endpoint] = Field({}, max_length=MAX_EDGES, description="stable name for applications -> vertex.endpoint")


def load_pipeline(path: Path) -> Pipeline:
    """Reads a pipeline file.

    Raises:
        RejectedError: `pipeline.unreadable` or `pipeline.invalid`; the message lists every fault with its path.
    """
    try:
        return Pipeline.model_validate(load_content(path))
    except ValidationError as error:
        raise RejectedError("\n".join(f"{path}: {line}" for line in fault_lines(error)), code="pipeline.invalid") from error


def load_content(path: Path) -> Any:
    """The YAML of a pipeline file, unchecked.

    Raises:
        RejectedError: `pipeline.unreadable`.
    """
    return load_yaml(path, code="pipeline.unreadable", hint="a pipeline file has backend:, vertices: and edges:")


def load_yaml(path: Path, *, code: str, hint: str) -> Any:
    """The YAML of a file of at most `MAX_FILE_BYTES`, unchecked.

    Args:
        path: which file.
        code: of the error.
        hint: what belongs into a file that is empty.

    Raises:
        RejectedError: it cannot be read.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise RejectedError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes", code=code)
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except OSError as error:
        raise RejectedError(f"{path} cannot be read: {error.strerror}", code=code) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RejectedError(f"{path} is not YAML: {' '.join(str(error).split())}", code=code) from error
    if content is None:
        raise RejectedError(f"{path} is empty", code=code, hint=hint)
    return content


def fault_lines(error: ValidationError, model: type[BaseModel] | None = None) -> list[str]:
    """Each fault as `path: message`.

    Args:
        model: what was to be validated, whose descriptions and names messages offer; default: a pipeline file.
    """
    schema = (model or Pipeline).model_json_schema()
    return [f"{one.path or 'file'}: {one.message}" for one in data_faults(error, schema)]


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
