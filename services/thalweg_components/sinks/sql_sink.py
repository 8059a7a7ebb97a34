"""sql-sink: rows in a table of any SQL database."""

from __future__ import annotations

from typing import TypeVar

from thalweg import Context, Receipt, Secret, component
from thalweg_components.delivered import Delivered
from thalweg_components.deliveries import Deliveries
from thalweg_components.extras import needs
from thalweg_components.table_rows import TableParams, columns_of

T = TypeVar("T")


@component("sql-sink", version="1.0.0", deterministic=False)
class SqlSink:
    """Writes records into a table of a database that SQLAlchemy knows, each exactly once.

    **Ports**: `in` takes records; `receipts` proves each row, with its place on the log.

    **Params**: `table` (`name` or `schema.name`), `columns` (field: column; by default all fields, by their names), `keys` (columns with a
    unique index: a row that is there is replaced; PostgreSQL, SQLite, MySQL and MariaDB can), `give_up_after_s`. **Secrets**: `url`, as in
    `sqlite:////data/readings.db` or `postgresql+psycopg://user:password@host/database`; install the driver that it names.

    **Types** are checked against the table before the first record: timestamps go into columns of times (UTC where they have no zone) or of
    text, durations into intervals or numbers (seconds), lists, maps and records into JSON or, as JSON, into text.

    **Delivery**: the last place of each edge is stored in the table `thalweg_places`, which it makes, in the transaction that writes the
    rows: a restart writes nothing twice and leaves nothing out. An older copy of the vertex can no longer write once a newer one has
    begun. Tables without transactions (MyISAM) get each record at least once. An outage is waited out, or ends as a faulty record after
    `give_up_after_s`. For PostgreSQL, `postgres-sink` is faster and knows more types.

    **Faults**: what the table does not take is a faulty record. Needs `pip install 'thalweg[sql]'`.
    """

    params: TableParams
    url: Secret

    async def setup(self, context: Context) -> None:
        """Opens the table, unless the server is away."""
        with needs("sql"):
            from thalweg_components.sql_table import SqlTable
        columns, self._values = columns_of(context.input_type("in"), self.params)
        table = SqlTable(self.url, self.params, columns, Delivered(context))
        self._deliveries = Deliveries(table, context, self.params.give_up_after_s)
        await self._deliveries.begin()

    async def process(self, batch: list[T]) -> list[Receipt]:
        """Writes the rows in one transaction."""
        return await self._deliveries.deliver([self._values(record) for record in batch])

    async def close(self) -> None:
        """Closes the connection."""
        if hasattr(self, "_deliveries"):
            await self._deliveries.end()

    def probe(self) -> None:
        """Connects once."""
        with needs("sql"):
            from thalweg_components.sql_connection import connect, make_engine
        connect(make_engine(self.url)).close()
