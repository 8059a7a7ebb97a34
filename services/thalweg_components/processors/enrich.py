"""enrich: adds what a table knows about each record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import Bad, Context, InputFile, RecordError, component
from thalweg.errors import RejectedError
from thalweg.graph.field_names import field_name
from thalweg.graph.types import FLOAT, INT, OptionalOf, Record, StreamType, format_type
from thalweg_components.expressions import compile_expression
from thalweg_components.names import check_names
from thalweg_components.sources.csv_source import Params as CsvParams
from thalweg_components.sources.csv_source import table_rows, table_type

In = TypeVar("In")
Out = TypeVar("Out")
MAX_ROWS = 10_000_000


class Params(BaseModel):
    """What is looked up."""

    model_config = ConfigDict(extra="forbid")

    key: dict[str, str] = Field(
        min_length=1, max_length=32, description="column of the table -> field or CEL expression that it must equal"
    )
    add: list[str] | None = Field(None, min_length=1, description="columns to add; without it, all but those of the key")
    prefix: str = Field("", pattern="^[A-Za-z0-9_]{0,64}$", description="in front of the names of added fields")
    missing: Literal["null", "drop", "fail"] = Field("null", description="records that the table does not know: nulls, dropped, or faulty")
    columns: dict[str, str] = Field(default_factory=dict, description="column -> stream type, as for csv-source; the others are inferred")
    delimiter: str = Field(",", min_length=1, max_length=1, description="character between cells of the table")
    max_rows: int = Field(1_000_000, ge=1, le=MAX_ROWS, description="a larger table is refused: it is held in memory")


@component("enrich", version="1.0.0")
class Enrich:
    """Adds what a table knows about each record: looks up its row by a key.

    **Ports**: `in` takes records. `out` emits them with the columns of their row behind their own fields.

    **Files**: `table` (csv), as csv-source reads it: one row a key. It is read once, at the start, and held in memory; a change of
    the table is another artifact, and so another run.

    **Params**: `key` (column: field or CEL expression, as in `{code: station}`), `add` (columns; by default all but the key's),
    `prefix` (in front of their names), `missing`: what becomes of records without a row: `null` (the added fields are null, and
    `T?`), `drop`, or `fail` (a faulty record). `columns`, `delimiter` as for csv-source. `max_rows` (1,000,000).

    **Nulls**: a record whose key has a null is without a row; so is no record of a row whose key has an empty cell.

    **Faults**: unknown fields and columns, keys whose types can never be equal, and names that are there already are rejected
    before it runs; a faulty row and two rows of one key stop it at the start.
    """

    params: Params
    table: Annotated[InputFile, "csv"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's fields, then the table's."""
        source, table = inputs["in"], table_type(_csv(params), files.get("table"))
        if not isinstance(source, Record):
            raise RejectedError(f"{format_type(source)} is no record", code="type.unsupported", hint="enrich works on records")
        _check_key(params, source, dict(table.fields))
        kinds = dict(table.fields)
        added = [(f"{params.prefix}{name}", _may_miss(kinds[name], params)) for name in _added(params, table)]
        fields = (*source.fields, *added)
        check_names((name for name, _ in fields), "add")
        return {"out": Record(fields)}

    def setup(self, context: Context) -> None:
        """Reads the table."""
        table = table_type(_csv(self.params), self.table.path)
        source = context.input_type("in")
        self._keys = [compile_expression(text, source, what="key") for text in self.params.key.values()]
        self._names = [name for name, _ in source.fields] if isinstance(source, Record) else []
        added = _added(self.params, table)
        self._rows = _read(self.table.path, self.params, table, [field_name(one) for one in self.params.key], added)
        self._nothing = (None,) * len(added)
        self._class = context.record_class("out")

    def process(self, record: In) -> Out | None:
        """The record with the fields of its row."""
        key = tuple(one.evaluate(record) for one in self._keys)
        found = self._rows.get(key)
        if found is None:
            if self.params.missing == "drop":
                return None
            if self.params.missing == "fail":
                raise RecordError(f"the table has no row for {', '.join(map(repr, key))[:200]}")
            found = self._nothing
        return self._class(*[getattr(record, name) for name in self._names], *found)  # type: ignore[no-any-return]


def _csv(params: Params) -> CsvParams:
    return CsvParams(columns=params.columns, delimiter=params.delimiter)


def _added(params: Params, table: Record) -> list[str]:
    known, key = [name for name, _ in table.fields], {field_name(one) for one in params.key}
    wanted = [name for name in known if name not in key] if params.add is None else [field_name(one) for one in params.add]
    for name in wanted:
        _known(name, known, "add")
    if not wanted:
        raise RejectedError("add: the table has no columns but those of the key", code="params.invalid")
    return wanted


def _check_key(params: Params, source: Record, table: dict[str, StreamType]) -> None:
    for column, text in params.key.items():
        _known(field_name(column), list(table), "key")
        kinds = [_base(compile_expression(text, source, what=f"key.{column}").type), _base(table[field_name(column)])]
        if kinds[0] != kinds[1] and not {*kinds} <= {INT, FLOAT}:
            raise RejectedError(
                f"key.{column}: {text!r} is {format_type(kinds[0])}, the column is {format_type(kinds[1])}",
                code="params.invalid",
                hint=f"declare the column: columns: {{{column}: {format_type(kinds[0])}}}",
            )


def _known(name: str, known: list[str], what: str) -> None:
    if name not in known:
        raise RejectedError(f"{what}: the table has no column {name!r}", code="params.invalid", hint=f"it has: {', '.join(known)}")


def _base(kind: StreamType) -> StreamType:
    return kind.item if isinstance(kind, OptionalOf) else kind


def _may_miss(kind: StreamType, params: Params) -> StreamType:
    return OptionalOf(kind) if params.missing == "null" and not isinstance(kind, OptionalOf) else kind


def _read(path: Path, params: Params, table: Record, key: list[str], added: list[str]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    names = [name for name, _ in table.fields]
    key_places, places = [names.index(one) for one in key], [names.index(one) for one in added]
    rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for number, one in enumerate(table_rows(path, _csv(params), table, _cells), 1):  # type: ignore[arg-type]  # any callable does
        if isinstance(one, Bad):
            raise RejectedError(f"table: {one.error}", code="file.invalid", hint=one.error.hint)
        if number > params.max_rows:
            raise RejectedError(f"table: it has more than {params.max_rows} rows", code="file.invalid", hint="raise max_rows")
        found = tuple(one.value[place] for place in key_places)
        if None in found:
            continue
        if found in rows:
            raise RejectedError(f"table: row {number} has the key of another one: {', '.join(map(repr, found))[:200]}", code="file.invalid")
        rows[found] = tuple(one.value[place] for place in places)
    return rows


def _cells(*values: Any) -> tuple[Any, ...]:
    return values
