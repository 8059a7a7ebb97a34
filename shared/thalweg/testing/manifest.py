"""The manifest of a pipeline's tests: its models, how it is read, its JSON Schema."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, ValidationError, WithJsonSchema, model_validator

from thalweg.errors import RejectedError
from thalweg.graph.fields import ComponentName, FileText, Json, JsonMap, Key, Line, Name, Strict
from thalweg.graph.pipeline import Count, load_yaml
from thalweg.graph.wording import data_faults
from thalweg.testing.comparing import Bounds, Tolerance

MAX_CASES = 200
MAX_EXPECTATIONS = 200
MAX_BOUND = 100
MAX_PUSHED = 10_000
MAX_TIMEOUT_S = 3_600.0
MAX_EXPRESSION = 4_096
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0}
_END = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}"


def _read_end(value: Any) -> Any:
    if not isinstance(value, str) or re.fullmatch(rf"{_END}\.{_END}", value) is None:
        raise ValueError(f"{str(value)[:80]!r} is not of the form 'vertex.name', as in 'wet.out'")
    return value


def _read_param(value: str) -> str:
    if re.fullmatch(rf"{_END}\.[^.\s]+(\.[^.\s]+)*", value) is None:
        raise ValueError(f"{value[:80]!r} is not of the form 'vertex.param', as in 'wet.where'")
    return value


def _read_span(value: Any) -> Any:
    """A time as people write it, or a number of seconds."""
    if isinstance(value, str):
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)", value.strip())
        if found is None:
            raise ValueError(f"{value[:80]!r} is not a time, as in '500ms', '60s', '5m'")
        return float(found[1]) * _UNITS_S[found[2]]
    return value


def _read_count(value: Any) -> Any:
    """A number of records is a count with both bounds."""
    return {"min": value, "max": value} if isinstance(value, int) and not isinstance(value, bool) else value


def _read_bounds(value: Any) -> Any:
    """A number alone is an absolute difference."""
    return {"absolute": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


End = Annotated[str, BeforeValidator(_read_end), Field(max_length=127), WithJsonSchema({"type": "string", "pattern": rf"^{_END}\.{_END}$"})]
"""`vertex.port`, `vertex.slot` or `vertex.endpoint`."""
ParamPath = Annotated[str, Field(max_length=400), AfterValidator(_read_param)]
Seconds = Annotated[
    float,
    BeforeValidator(_read_span),
    Field(gt=0, le=MAX_TIMEOUT_S, allow_inf_nan=False),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h)$"}, {"type": "number", "exclusiveMinimum": 0}]}),
]
Records = Annotated[
    Count, BeforeValidator(_read_count), WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, Count.model_json_schema()]})
]
Expression = Annotated[str, Field(min_length=1, max_length=MAX_EXPRESSION)]
PortDigestText = Annotated[str, Field(pattern="^[0-9a-f]{12,64}$")]
FileDigestText = Annotated[str, Field(pattern="^sha256:[0-9a-f]{12,64}$")]


class BoundsText(Strict):
    """How far two numbers may be apart: by the larger of the two."""

    relative: float = Field(0.0, ge=0, le=1, allow_inf_nan=False, description="share of the larger number")
    absolute: float = Field(0.0, ge=0, allow_inf_nan=False, description="in the field's own unit")

    def bounds(self) -> Bounds:
        """As it is compared by."""
        return Bounds(self.relative, self.absolute)


class ToleranceText(BoundsText):
    """How far a value may be from the golden one: numbers by bounds, for fields of their own where given; times by seconds."""

    seconds: float = Field(0.0, ge=0, allow_inf_nan=False, description="between timestamps, and between durations")
    fields: dict[
        Key,
        Annotated[
            BoundsText,
            BeforeValidator(_read_bounds),
            WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, BoundsText.model_json_schema()]}),
        ],
    ] = Field({}, max_length=MAX_BOUND, description="path of a field -> its own bounds; a number is an absolute one")
    ignore: list[Key] = Field([], max_length=MAX_BOUND, description="paths of fields that are not compared")

    def tolerance(self) -> Tolerance:
        """As it is compared by."""
        own = {path: one.bounds() for path, one in self.fields.items()}
        return Tolerance(self.bounds(), own, self.seconds, frozenset(self.ignore))


class AtIndex(Strict):
    """One record of a port, by its place."""

    index: int = Field(ge=0, le=1 << 40, description="from 0")
    where: Expression = Field(description="CEL expression that is true for it")


class _WithConditions(Strict):
    """A subject, and what must hold for it."""

    conditions: ClassVar[tuple[str, ...]]

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.stated():
            raise ValueError(f"expects nothing: give one of {', '.join(self.conditions)}")
        if getattr(self, "tolerance", None) is not None and getattr(self, "golden", None) is None:
            raise ValueError("tolerance has no effect without golden")
        return self

    def stated(self) -> list[str]:
        """The conditions that are given."""
        return [name for name in self.conditions if getattr(self, name) is not None]


class PortExpectation(_WithConditions):
    """What a port must have put out."""

    conditions = ("count", "digest", "every", "any", "none", "first", "last", "at", "golden")
    port: End = Field(description="vertex.port")
    count: Records | None = Field(None, description="records: a number, or {min: N, max: N}")
    digest: PortDigestText | None = Field(None, description="12 to 64 hex digits, as `thalweg run` prints them")
    every: Expression | None = Field(None, description="CEL expression that is true for each record; there must be one")
    any: Expression | None = Field(None, description="CEL expression that is true for at least one record")
    none: Expression | None = Field(None, description="CEL expression that is true for no record")
    first: Expression | None = Field(None, description="CEL expression that is true for the first record")
    last: Expression | None = Field(None, description="CEL expression that is true for the last record")
    at: AtIndex | None = Field(None, description="{index: N, where: CEL}")
    golden: FileText | None = Field(
        None, description="path of a .jsonl file with the records that are expected, in order, or of a replay, or sha256:… of one"
    )
    tolerance: ToleranceText | None = None


class VertexExpectation(_WithConditions):
    """What a vertex must have counted."""

    conditions = ("records_in", "records_out", "filtered", "dead", "late", "dropped", "errors")
    vertex: Name
    records_in: Records | None = None
    records_out: Records | None = None
    filtered: Records | None = None
    dead: Records | None = Field(None, description="dead letters: a number, or {min: N, max: N}")
    late: Records | None = None
    dropped: Records | None = None
    errors: Records | None = None


class FileExpectation(_WithConditions):
    """What a generated file must be."""

    conditions = ("digest", "rows", "golden")
    file: End = Field(description="vertex.slot")
    digest: FileDigestText | None = Field(None, description="sha256: and 12 to 64 hex digits")
    rows: Records | None = Field(None, description="of a csv, jsonl or parquet file: a number, or {min: N, max: N}")
    golden: FileText | None = Field(None, description="path of the file that is expected")
    tolerance: ToleranceText | None = None


class ReplayExpectation(Strict):
    """That every port puts out what it did in a run that was captured."""

    replay: FileText = Field(description="path of an .mcap file, or sha256:…")
    tolerance: ToleranceText | None = None


class Failing(Strict):
    """How a run must fail."""

    vertex: Name | None = Field(None, description="which vertex fails; left out: any")
    code: Key | None = Field(None, description="dotted code of the failure, as in data.invalid")
    message: Line | None = Field(None, min_length=1, description="text that its message holds")


class FailureExpectation(Strict):
    """That the run fails, and how."""

    fails: Failing


_SUBJECTS = ("port", "vertex", "file", "replay", "fails")


def _subject(value: Any) -> str | None:
    """Which subject an expectation has; none where it is not one."""
    has = [name for name in _SUBJECTS if (name in value if isinstance(value, dict) else hasattr(value, name))]
    return f"<{has[0]}>" if len(has) == 1 else None


Expected = Annotated[
    Annotated[PortExpectation, Tag("<port>")]
    | Annotated[VertexExpectation, Tag("<vertex>")]
    | Annotated[FileExpectation, Tag("<file>")]
    | Annotated[ReplayExpectation, Tag("<replay>")]
    | Annotated[FailureExpectation, Tag("<fails>")],
    Discriminator(
        _subject, custom_error_type="subject", custom_error_message=f"must be a mapping with exactly one of {', '.join(_SUBJECTS)}"
    ),
]


class Fixture(Strict):
    """Recorded records that stand for a port."""

    file: FileText = Field(description=".csv, .jsonl, .parquet, .fixture.jsonl or .mcap file, relative to the manifest")
    time: Key | None = Field(None, description="field that is the event time; left out: the record's ordinal")


def _read_fixture(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


class Case(Strict):
    """One run, and what is expected of it."""

    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f\u0085\u2028\u2029]*$")]
    set: dict[ParamPath, Json] = Field({}, max_length=MAX_BOUND, description="vertex.param -> value")
    files: dict[End, FileText] = Field({}, max_length=MAX_BOUND, description="vertex.slot -> path relative to the manifest, or sha256:…")
    replace: dict[
        End,
        Annotated[Fixture, BeforeValidator(_read_fixture), WithJsonSchema({"anyOf": [{"type": "string"}, Fixture.model_json_schema()]})],
    ] = Field(
        {}, max_length=MAX_BOUND, description="vertex.port -> file with records that come in place of its own: a path, or {file:, time:}"
    )
    replay: FileText | None = Field(None, description="an .mcap or .fixture.jsonl file: its records come in place of all sources")
    live: list[Name] = Field(
        [],
        max_length=MAX_BOUND,
        description="vertices that run, in place of giving what the replay has of them, though they are not deterministic",
    )
    use: dict[Name, ComponentName] = Field({}, max_length=MAX_BOUND, description="component -> name@version to use in its place")
    push: dict[End, FileText | Annotated[list[Json], Field(max_length=MAX_PUSHED)]] = Field(
        {}, max_length=MAX_BOUND, description="vertex.endpoint -> values to push, or a .jsonl file of them"
    )
    timeout: Seconds = Field(60.0, description="from deploying to the end: 500ms, 60s, 5m; at most one hour")
    expect: list[Expected] = Field(min_length=1, max_length=MAX_EXPECTATIONS, description="what must hold; at least one")

    @model_validator(mode="after")
    def _fails_alone(self) -> Self:
        if len(self.expect) > 1 and any(isinstance(one, FailureExpectation) for one in self.expect):
            raise ValueError("a run that must fail stops at no certain place: fails must be the only expectation of its case")
        return self

    def must_fail(self) -> Failing | None:
        """How the run must fail; None where it must not."""
        return next((one.fails for one in self.expect if isinstance(one, FailureExpectation)), None)


class Manifest(Strict):
    """A manifest: which pipeline, which releases, which cases."""

    pipeline: FileText | JsonMap | None = Field(None, description="path of a pipeline file relative to this file, or the pipeline itself")
    backend: Name | None = Field(None, description="a stored backend, in place of a pipeline")
    revision: int | None = Field(None, ge=0, description="of the backend; the newest without")
    components: list[FileText] = Field(
        [], max_length=MAX_BOUND, description=".py files or folders with releases to try, relative to this file"
    )
    use: dict[Name, ComponentName] = Field({}, max_length=MAX_BOUND, description="component -> name@version to use in its place")
    cases: list[Case] = Field(min_length=1, max_length=MAX_CASES, description="one run each")

    @model_validator(mode="after")
    def _has_one_graph(self) -> Self:
        if (self.pipeline is None) == (self.backend is None):
            raise ValueError("give either pipeline or backend")
        if self.revision is not None and self.backend is None:
            raise ValueError("revision has no effect without backend")
        twice = [name for name, times in Counter(one.name for one in self.cases).items() if times > 1]
        if twice:
            raise ValueError(f"two cases have the name {twice[0]!r}")
        return self


def load_manifest(path: Path) -> Manifest:
    """Reads a manifest.

    Raises:
        RejectedError: `manifest.unreadable` or `manifest.invalid`; the message lists every fault with its path in the file.
    """
    content = load_yaml(path, code="manifest.unreadable", hint="a manifest has pipeline: and cases:")
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        lines = [f"{path}: {_place(one.path)}: {one.message}" for one in data_faults(error, Manifest.model_json_schema())]
        raise RejectedError("\n".join(dict.fromkeys(lines)), code="manifest.invalid") from error


def _place(path: str) -> str:
    """Without the tags by which pydantic tells subjects apart."""
    return re.sub(r"\.<\w+>", "", path) or "file"


def manifest_json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a manifest."""
    return {**Manifest.model_json_schema(), "$schema": "https://json-schema.org/draft/2020-12/schema"}
