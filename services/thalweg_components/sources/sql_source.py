"""sql-source: rows of a query to any SQL database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from thalweg import At, Bad, Context, Secret, component
from thalweg.graph.types import StreamType
from thalweg_components.extras import needs
from thalweg_components.query_pages import QueryPages, QueryParams

T = TypeVar("T")


@component("sql-source", version="1.0.0", deterministic=False)
class SqlSource:
    """Reads the rows of a query to a database that SQLAlchemy knows, in the order of its cursor columns.

    **Emits** on `out` the rows as records of `schema`, whose fields are columns of the query.

    **Params**: `query` (a SELECT without ORDER BY and LIMIT), `cursor` (columns that together are unique and never null), `schema`,
    `time_field`, `page_rows` (1000), `follow`, `poll_s` (5). **Secrets**: `url`, as in `sqlite:////data/readings.db` or
    `mysql+pymysql://user:password@host/database`; install the driver that it names.

    **Without `follow`** it ends with the row that is the last one when it begins. **With it**, new rows are looked for every `poll_s`
    seconds; one that is committed behind others of a higher cursor is passed over (`postgres-source` sees such).

    **Types**: numeric becomes float, str or int as the schema says, times without a zone are UTC, text is read as a timestamp (ISO 8601),
    as JSON or as a list, map or record where the schema says so, 0 and 1 as a bool, a number of seconds as a duration.

    **Faults**: a row that does not fit is faulty. An outage is waited out. Needs `pip install 'thalweg[sql]'`.

    **Resumes** exactly behind the last committed row. An index on the cursor columns makes each page cheap.
    """

    params: QueryParams
    url: Secret
    outputs: ClassVar[dict[str, Any]] = {"out": T}

    @classmethod
    def resolve_types(cls, params: QueryParams, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The schema."""
        return {"out": params.kind()}

    def setup(self, context: Context) -> None:
        """Makes the query; connects to nothing yet."""
        with needs("sql"):
            from thalweg_components.sql_query import SqlQuery
        self._origin = SqlQuery(self.url, self.params)
        self._pages = QueryPages(self._origin, self.params, context.record_class("out"), context.logger, json_is_text=True)

    def read(self, cursor: list[Any] | None) -> Iterator[At[Any] | Bad]:
        """Rows behind the cursor."""
        yield from self._pages.read(cursor)

    def close(self) -> None:
        """Closes the connection."""
        if hasattr(self, "_origin"):
            self._origin.close()

    def probe(self) -> None:
        """Connects once, and has the server look at the query."""
        with needs("sql"):
            from thalweg_components.sql_query import SqlQuery
        origin = SqlQuery(self.url, self.params)
        origin.open()
        origin.close()
