"""postgres-source: rows of a query to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import Field, model_validator

from thalweg import At, Bad, Context, Secret, component
from thalweg.graph.types import StreamType
from thalweg_components.extras import needs
from thalweg_components.query_pages import QueryPages, QueryParams

T = TypeVar("T")


class Params(QueryParams):
    """Which rows, and who says that there are new ones."""

    notify: str | None = Field(None, min_length=1, max_length=63, description="channel of NOTIFY that says that there are new rows")

    @model_validator(mode="after")
    def _follows(self) -> Params:
        if self.notify is not None and not self.follow:
            raise ValueError("notify: only with follow: true")
        return self


@component("postgres-source", version="1.0.0", deterministic=False)
class PostgresSource:
    """Reads the rows of a query to PostgreSQL in the order of its cursor columns, and goes on with new ones if it is to.

    **Emits** on `out` the rows as records of `schema`, whose fields are columns of the query.

    **Params**: `query` (a SELECT without ORDER BY and LIMIT), `cursor` (columns that together are unique and never null), `schema`,
    `time_field`, `page_rows` (1000), `follow`, `poll_s` (5), `notify` (a channel: new rows are looked for when it is notified, and every
    `poll_s`). **Secrets**: `url`, as in `postgresql://user:password@host:5432/database`.

    **Without `follow`** it ends with the row that is the last one when it begins. **With it**, a row comes when all transactions that were
    under way when it was first seen have ended, so that none is passed over whose lower number was committed later; one that has
    written and stays open holds it up. For changed rows, have a column like `changed_at` in `cursor`, set by each change.

    **Types**: numeric becomes float, str or int as the schema says, a date the midnight of it in UTC, `timestamp` is taken as UTC, uuid and
    other types that JSON does not have are str, arrays are lists, json and jsonb become what the schema says.

    **Faults**: a row that does not fit is faulty. An outage is waited out. Needs `pip install 'thalweg[postgres]'`.

    **Resumes** exactly behind the last committed row. An index on the cursor columns makes each page cheap.
    """

    params: Params
    url: Secret
    outputs: ClassVar[dict[str, Any]] = {"out": T}

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The schema."""
        return {"out": params.kind()}

    def setup(self, context: Context) -> None:
        """Makes the query; connects to nothing yet."""
        with needs("postgres"):
            from thalweg_components.postgres_query import PostgresQuery
        self._origin = PostgresQuery(self.url, self.params, self.params.notify)
        self._pages = QueryPages(self._origin, self.params, context.record_class("out"), context.logger)

    def read(self, cursor: list[str] | None) -> Iterator[At[Any] | Bad]:
        """Rows behind the cursor."""
        yield from self._pages.read(cursor)

    def close(self) -> None:
        """Closes the connection."""
        if hasattr(self, "_origin"):
            self._origin.close()

    def probe(self) -> None:
        """Connects once, and has the server look at the query."""
        with needs("postgres"):
            from thalweg_components.postgres_query import PostgresQuery
        origin = PostgresQuery(self.url, self.params, None)
        origin.open()
        origin.close()
