"""postgres-sink: rows in a table of PostgreSQL."""

from __future__ import annotations

from typing import TypeVar

from thalweg import Context, Receipt, Secret, component
from thalweg_components.delivered import Delivered
from thalweg_components.deliveries import Deliveries
from thalweg_components.extras import needs
from thalweg_components.table_rows import TableParams, columns_of

T = TypeVar("T")


@component("postgres-sink", version="1.0.0", deterministic=False)
class PostgresSink:
    """Writes records into a table of PostgreSQL, each exactly once.

    **Ports**: `in` takes records; `receipts` proves each row, with its place on the log.

    **Params**: `table` (`name` or `schema.name`), `columns` (field: column; by default all fields, by their names), `keys` (columns with a
    unique index: a row that is there is replaced; without them rows are added, by COPY), `give_up_after_s`. **Secrets**: `url`, as in
    `postgresql://user:password@host:5432/database`.

    **Types** are checked against the table before the first record: bool, int and float go into columns of such types and `numeric`, str
    into all that is written as text, timestamp into `timestamptz`, `timestamp` (UTC) and `date`, duration into `interval`, bytes and
    images into `bytea`, lists of scalars into arrays, everything into `json` and `jsonb`.

    **Delivery**: the last place of each edge is stored in the table `thalweg_places`, which it makes, in the transaction that writes the
    rows: a restart writes nothing twice and leaves nothing out. An older copy of the vertex can no longer write once a newer one has
    begun. An outage is waited out, or ends as a faulty record after `give_up_after_s`.

    **Faults**: what the table does not take (a constraint, a number that is too large) is a faulty record. Needs
    `pip install 'thalweg[postgres]'`.
    """

    params: TableParams
    url: Secret

    async def setup(self, context: Context) -> None:
        """Opens the table, unless the server is away."""
        with needs("postgres"):
            from thalweg_components.postgres_table import PostgresTable
        columns, self._values = columns_of(context.input_type("in"), self.params)
        table = PostgresTable(self.url, self.params, columns, Delivered(context))
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
        with needs("postgres"):
            from thalweg_components.postgres_connection import connect
        connect(self.url).close()
