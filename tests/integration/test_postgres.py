"""postgres-source and postgres-sink, against a PostgreSQL server."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import psycopg
import pytest

from integration.database_parts import Copy, Reading
from integration.outside_servers import PASSWORD, Postgres, postgres, wait_until
from thalweg import RecordError, RejectedError, Secret, UnreachableError
from thalweg.embedded.leftovers import process_of
from thalweg.errors import FencedOutError
from thalweg.testing import run_component
from thalweg_components.sinks.postgres_sink import PostgresSink
from thalweg_components.sources.postgres_source import PostgresSource
from thalweg_components.table_rows import TableParams

KIND = "record{id: int, name: str?}"
SCHEMA = "record{id: int, name: str?}"
_numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Runs for the file."""
    with postgres() as running:
        yield running


@pytest.fixture
def table(server: Postgres) -> str:
    """A table of ids and names."""
    name = f"t{next(_numbers)}"
    server.run(f"create table {name} (id bigint primary key, name text)")
    return name


def sink(server: Postgres, table: str, kind: str = KIND, **said: Any) -> Copy:
    """A copy of a vertex that writes into a table."""
    context: dict[str, Any] = {name: said.pop(name) for name in ("epoch", "rewound", "run") if name in said}
    return Copy(PostgresSink, kind, {"table": table} | said, {"url": server.url}, **({"run": f"w/{table}@1"} | context))


def rows(first: int, count: int) -> list[dict[str, Any]]:
    """Records with ids in a row."""
    return [{"id": n, "name": f"n{n}"} for n in range(first, first + count)]


def test_records_become_rows_and_each_has_a_receipt(server: Postgres, table: str) -> None:
    found = run_component(PostgresSink, rows(0, 150), {"table": table}, secrets={"url": server.url})
    assert server.run(f"select count(*), max(name) from {table}") == [(150, "n99")]
    assert len(found.outputs["receipts"]) == 150
    assert {one.target for one in found.outputs["receipts"]} == {f"postgresql://127.0.0.1:{server.port}/postgres/{table}"}


def test_what_is_delivered_again_is_written_once(server: Postgres, table: str) -> None:
    server.run(f"alter table {table} drop constraint {table}_pkey")
    one = sink(server, table)
    one.give(1, rows(1, 3))
    one.close()
    again = sink(server, table, epoch=2)  # killed before its commit: it is given the same, and more
    assert len(again.give(1, rows(1, 5))) == 5
    again.close()
    assert server.run(f"select id from {table} order by id") == [(n,) for n in range(1, 6)]


def test_another_life_of_the_deployment_begins_anew_and_so_does_one_that_went_back(server: Postgres, table: str) -> None:
    for context in ({}, {"run": f"w/{table}@2"}, {"rewound": 3, "epoch": 2}):
        one = sink(server, table, keys=["id"], **context)
        one.give(1, [{"id": 1, "name": str(context)}])
        one.close()
        assert server.run(f"select name from {table}") == [(str(context),)]


def test_an_older_copy_cannot_write_once_a_newer_one_has_begun(server: Postgres, table: str) -> None:
    old = sink(server, table)
    old.give(1, rows(1, 1))
    new = sink(server, table, epoch=2)
    with pytest.raises(FencedOutError):
        old.give(2, rows(2, 1))
    new.give(2, rows(2, 1))
    with pytest.raises(FencedOutError):
        sink(server, table)
    assert server.run(f"select count(*) from {table}") == [(2,)]
    for one in (old, new):
        one.close()


def test_a_batch_with_a_refused_row_leaves_nothing_and_only_that_row_is_faulty(server: Postgres, table: str) -> None:
    one = sink(server, table)
    with pytest.raises(RecordError, match="duplicate key"):
        one.give(1, [*rows(1, 2), *rows(1, 1)])
    assert server.run(f"select count(*) from {table}") == [(0,)]
    one.close()
    records = [*rows(1, 2), *rows(1, 1), *rows(3, 1)]
    found = run_component(PostgresSink, records, {"table": table}, on_error="dead-letter", secrets={"url": server.url})
    assert (found.counters.dead, server.run(f"select count(*) from {table}")) == (1, [(3,)])


def test_keys_replace_rows(server: Postgres, table: str) -> None:
    server.run(f"insert into {table} values (1, 'old'), (2, 'kept')")
    one = sink(server, table, keys=["id"])
    one.give(1, [{"id": 1, "name": "new"}, {"id": 3, "name": "a"}, {"id": 3, "name": "b"}])
    one.close()
    assert server.run(f"select * from {table} order by id") == [(1, "new"), (2, "kept"), (3, "b")]


def test_an_outage_loses_nothing(server: Postgres, table: str) -> None:
    one = sink(server, table)
    one.give(1, rows(1, 2))
    server.stop()
    given: list[Any] = []
    thread = threading.Thread(target=lambda: given.extend(one.give(3, rows(3, 2))))
    thread.start()
    probed = PostgresSink()
    probed.url = Secret(server.url)
    with pytest.raises(UnreachableError):
        probed.probe()
    server.start()
    thread.join(20)
    one.close()
    assert len(given) == 2 and given[0].attempts > 1
    assert server.run(f"select count(*) from {table}") == [(4,)]


def test_after_give_up_after_s_an_outage_is_a_faulty_record(server: Postgres) -> None:
    params = {"table": "t", "give_up_after_s": 0.2}
    one = Copy(PostgresSink, KIND, params, {"url": server.url.replace(str(server.port), "1")})
    with pytest.raises(RecordError, match=r"was away for 0.2 s"):
        one.give(1, rows(1, 1))
    one.close()


@pytest.mark.parametrize(
    ("columns", "kind", "said"),
    [
        ("id int4, name text", "record{id: str, name: str}", "id is integer, which does not take str"),
        ("id bigint", KIND, "no column name"),
        ("id bigint, name text, must text not null", KIND, "must must not be null"),
        ("id bigint, name int4[]", "record{id: int, name: list[str]}", "does not take list"),
    ],
)
def test_a_table_that_does_not_take_the_records_is_refused_before_the_first(server: Postgres, columns: str, kind: str, said: str) -> None:
    name = f"t{next(_numbers)}"
    server.run(f"create table {name} ({columns})")
    with pytest.raises(RejectedError, match=said):
        sink(server, name, kind)


def test_a_role_that_may_make_no_table_finds_that_of_the_places_there(server: Postgres, table: str) -> None:
    sink(server, table).close()
    server.run("create role app login password 'app-pass'; revoke create on schema public from public")
    server.run(f"grant select, insert, update on {table}, thalweg_places to app")
    one = Copy(PostgresSink, KIND, {"table": table}, {"url": server.url.replace(f"postgres:{PASSWORD}", "app:app-pass")})
    one.give(1, rows(1, 2))
    one.close()
    assert server.run(f"select count(*) from {table}") == [(2,)]


def test_wrong_credentials_and_urls_are_refused_without_showing_them(server: Postgres) -> None:
    for url, said in (
        (server.url.replace(PASSWORD, "wr0ng-pass"), "password authentication failed"),
        ("hush-hush", "no connection string"),
    ):
        with pytest.raises(RejectedError, match=said) as found:
            Copy(PostgresSink, KIND, {"table": "t"}, {"url": url})
        shown = f"{found.value} {found.value.hint} {found.value.__cause__}"
        assert "wr0ng" not in shown and "hush" not in shown


def read(server: Postgres, table: str, **said: Any) -> Reading:
    """A copy of a vertex that reads a table."""
    params = {"query": f"select * from {table};", "cursor": ["id"], "schema": SCHEMA, "page_rows": 3, "poll_s": 0.05} | said
    return Reading(PostgresSource, params, {"url": server.url})


def test_a_query_is_read_in_pages_and_goes_on_behind_its_cursor(server: Postgres, table: str) -> None:
    server.run(f"insert into {table} select n, 'n' || n from generate_series(1, 10) n")
    with read(server, table) as one, read(server, table) as other:
        found = one.take(7)
        assert [item.value.id for item in found] == list(range(1, 8))
        assert [item.value.id for item in other.items(found[-1].cursor)] == [8, 9, 10]


def test_cursors_of_several_columns_and_types_are_exact(server: Postgres) -> None:
    server.run("create table moments (at timestamptz, n numeric, tag uuid default gen_random_uuid())")
    server.run(
        "insert into moments select '2024-01-01'::timestamptz + (n / 4) * interval '1 microsecond', n / 3.0 from generate_series(0, 20) n"
    )
    schema = "record{at: timestamp, n: float, tag: str}"
    said = {
        "query": "select *, 7 % 4 as m from moments where tag::text like '%-%'",
        "cursor": ["at", "n"],
        "schema": schema,
        "time_field": "at",
    }
    params = said | {"page_rows": 4}
    found, cursor = [], None
    for _ in range(21):  # a restart behind every row
        with Reading(PostgresSource, params, {"url": server.url}) as one:
            (item,) = one.take(1, cursor)
        found.append(item)
        cursor = item.cursor
    assert [round(item.value.n * 3) for item in found] == list(range(21))
    assert found[-1].value.at == dt.datetime(2024, 1, 1, 0, 0, 0, 5, tzinfo=dt.UTC)
    assert found[-1].time_ns == 1_704_067_200_000_005_000


def test_a_row_that_was_numbered_early_and_committed_late_is_not_passed_over(server: Postgres, table: str) -> None:
    found: list[int] = []
    one = read(server, table, follow=True)
    thread = threading.Thread(target=lambda: found.extend(item.value.id for item in one.take(2)))
    with psycopg.connect(server.url) as late:
        late.execute(f"insert into {table} values (1, 'late')".encode())
        server.run(f"insert into {table} values (2, 'early')")
        thread.start()
        wait_until(lambda: server.run("select count(*) from pg_stat_activity where query like '%snapshot_xmin%'")[0][0] > 1, "it waits")  # type: ignore[operator]
        assert found == []
        late.commit()
    thread.join(20)
    assert found == [1, 2]
    one.close()


def test_new_rows_come_when_their_channel_is_notified_and_after_an_outage(server: Postgres, table: str) -> None:
    taken: list[int] = []
    one = read(server, table, follow=True, notify="news", poll_s=600)
    thread = threading.Thread(target=lambda: [taken.append(item.value.id) for item in islice(one.items(), 3)])  # type: ignore[func-returns-value]
    thread.start()
    listens = "select count(*) from pg_stat_activity where application_name = 'thalweg' and state = 'idle'"
    wait_until(lambda: server.run(listens)[0][0] == 1, "it waits for news")
    for n in (1, 2):
        server.run(f"insert into {table} values ({n}, null); notify news")
        wait_until(lambda n=n: taken == list(range(1, n + 1)), "it has looked")  # type: ignore[misc]
    server.stop()
    server.start()
    server.run(f"insert into {table} values (3, null); notify news")  # it may have looked again before this
    thread.join(20)
    assert taken == [1, 2, 3]
    one.close()


def test_rows_that_do_not_fit_are_faulty_alone(server: Postgres, table: str) -> None:
    server.run(f"insert into {table} values (1, 'a'), (2, null), (3, 'c')")
    records = {"query": f"select * from {table}", "cursor": ["id"], "schema": "record{id: int, name: str}"}
    found = run_component(PostgresSource, params=records, on_error="dead-letter", secrets={"url": server.url})
    assert [one.id for one in found.out] == [1, 3]
    assert "row {'id': '2'}: column name: None is not str" in found.dead[0]["error"]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"query": "select 1 as nr"}, "no column id"),
        ({"query": "selec"}, "syntax error"),
        ({"query": "select 1 as id"}, "the query has no column name"),
        ({"query": "update t0 set id = 1 returning *"}, "query: "),
    ],
)
def test_a_query_that_is_none_is_refused(server: Postgres, said: dict[str, str], error: str) -> None:
    with read(server, "t0", **said) as one, pytest.raises(RejectedError, match=error):
        one.take(1)


def test_params_say_what_is_wrong_with_them() -> None:
    for params in (
        {"table": "a.b.c"},
        {"table": "t", "columns": {"a": "x", "b": "x"}},
        {"table": "t", "columns": {"a": "x"}, "keys": ["y"]},
    ):
        with pytest.raises(ValueError, match=r"table|columns|keys"):
            TableParams.model_validate(params)


PIPELINE = """
backend: rows
vertices:
  read:
    component: postgres-source@1.0.0
    secrets: {url: database}
    params: {query: "select * from numbers", cursor: [id], page_rows: 40, schema: "record{id: int, name: str}"}
  write: {component: postgres-sink@1.0.0, secrets: {url: database}, params: {table: copies}}
edges: [read.out -> write.in]
"""


def test_kills_of_a_deployed_graph_lose_and_double_nothing(server: Postgres, tmp_path: Path) -> None:
    server.run("create table numbers as select n as id, 'n' || n as name from generate_series(1, 900) n")
    server.run("create table copies (id bigint, name text)")
    server.run("create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.001); return new; end $$")
    server.run("create trigger slow before insert on copies for each row execute function slow()")
    (tmp_path / "rows.yaml").write_text(PIPELINE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
    run = subprocess.Popen(
        [sys.executable, "-m", "thalweg_cli", "run", "rows.yaml", "--json", "--out", "out"],
        env=kept | {"THALWEG_DATA": str(tmp_path / "data"), "THALWEG_SECRET_DATABASE": server.url},
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    def killed(vertex: str) -> bool:
        found = [process_of(path) for path in (tmp_path / "data").glob(f"**/vertices/*/{vertex}.json")]
        for one in found:
            if one is not None:
                one.kill()
        return any(found)

    kills = 0
    for written, vertex in ((1, "write"), (200, "read"), (500, "write")):
        wait_until(lambda written=written: run.poll() is not None or count_of(server) >= written, f"{written} rows")  # type: ignore[misc]
        assert run.poll() is None, run.communicate()[1][-2000:]
        kills += killed(vertex)
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors[-2000:]
    assert server.run("select count(*), count(distinct id), min(id), max(id) from copies") == [(900, 900, 1, 900)]
    assert kills >= 2, "the run was not disturbed"
    [(epoch,)] = server.run("select epoch from thalweg_places where vertex = 'write' and run like 'default/rows-%'")
    assert int(str(epoch)) >= 3, "each copy has a higher epoch, in one row"
    summary = json.loads(output)
    assert summary["vertices"]["write"]["ports"]["receipts"]["count"] == 900
    assert PASSWORD not in output + errors


def count_of(server: Postgres) -> int:
    """Rows that are written."""
    return int(str(server.run("select count(*) from copies")[0][0]))
