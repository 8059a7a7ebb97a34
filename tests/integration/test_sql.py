"""sql-source and sql-sink, against SQLite and PostgreSQL; values that come back as they went in."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from integration.database_parts import Copy, Reading
from integration.outside_servers import postgres
from thalweg import RecordError, RejectedError
from thalweg.errors import FencedOutError
from thalweg.testing import run_component
from thalweg_components.sinks.postgres_sink import PostgresSink
from thalweg_components.sinks.sql_sink import SqlSink
from thalweg_components.sources.postgres_source import PostgresSource
from thalweg_components.sources.sql_source import SqlSource

KIND = "record{id: int, name: str?, at: timestamp, ok: bool, x: float, tags: list[str], of: map[int]?, raw: bytes, gap: duration}"
IN_POSTGRES = "name text, at timestamptz, ok bool, x float8, tags text[], of_ jsonb, raw bytea, gap interval"
IN_SQL = "name text, at timestamp, ok boolean, x float8, tags text, of_ json, raw bytea, gap float8"
IN_SQLITE = "name text, at datetime, ok boolean, x float, tags text, of_ json, raw blob, gap float"
COLUMNS = {"of": "of_"} | {name: name for name in ("id", "name", "at", "ok", "x", "tags", "raw", "gap")}
QUERY = "select id, name, at, ok, x, tags, of_ as of, raw, gap from {}"


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """Of a server for the file."""
    with postgres() as running:
        yield running.url


@pytest.fixture(scope="module")
def sqlite_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a database for the file."""
    return f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'rows.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Of a database of each kind."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found.replace("postgresql:", "postgresql+psycopg:")


def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Runs statements; the rows of the last one."""
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        found = [connection.execute(sqlalchemy.text(one)) for one in statements]
        return [tuple(row) for row in found[-1]] if found[-1].returns_rows else []


def rows(first: int, count: int) -> list[dict[str, Any]]:
    """Records with ids in a row."""
    return [{"id": n, "name": f"n{n}"} for n in range(first, first + count)]


def sink(url: str, table: str, **said: Any) -> Copy:
    """A copy of a vertex that writes into a table."""
    context = {name: said.pop(name) for name in ("epoch", "rewound") if name in said}
    return Copy(SqlSink, "record{id: int, name: str?}", {"table": table} | said, {"url": url}, run=f"w/{table}@1", **context)


def test_what_is_delivered_again_is_written_once_and_older_copies_are_fenced_out(url: str) -> None:
    run(url, "create table once (id bigint not null, name text)")
    old = sink(url, "once")
    assert len(old.give(1, rows(1, 3))) == 3
    new = sink(url, "once", epoch=2)
    assert [one.target.rsplit("/", 1)[1] for one in new.give(1, rows(1, 5))] == ["once"] * 5
    with pytest.raises(FencedOutError):
        old.give(6, rows(6, 1))
    for one in (old, new):
        one.close()
    assert run(url, "select id from once order by id") == [(n,) for n in range(1, 6)]


def test_keys_replace_rows_and_what_is_refused_leaves_nothing(url: str) -> None:
    run(url, "create table pairs (id bigint primary key, name text not null)", "insert into pairs values (1, 'old')")
    one = sink(url, "pairs", keys=["id"])
    with pytest.raises(RecordError, match=r"(?i)null"):
        one.give(1, [{"id": 2, "name": "two"}, {"id": 3, "name": None}])
    one.give(1, [{"id": 1, "name": "new"}, {"id": 2, "name": "two"}])
    one.close()
    assert run(url, "select * from pairs order by id") == [(1, "new"), (2, "two")]


def test_a_query_is_read_in_pages_exactly_from_every_cursor(url: str) -> None:
    run(
        url,
        "create table read (at timestamp, n numeric(9, 2))",
        *(f"insert into read values ('2024-01-01 00:00:0{n // 4}', {n}.25)" for n in range(9)),
    )
    params = {
        "query": "select * from read where 'a:b' like '%:b'",
        "cursor": ["at", "n"],
        "schema": "record{at: timestamp, n: float}",
        "page_rows": 2,
    }
    found, cursor = [], None
    for _ in range(9):  # a restart behind every row
        with Reading(SqlSource, params | {"time_field": "at"}, {"url": url}) as one:
            (item,) = one.take(1, cursor)
        found.append(item)
        cursor = item.cursor
    assert [item.value.n for item in found] == [n + 0.25 for n in range(9)]
    assert found[-1].value.at == dt.datetime(2024, 1, 1, 0, 0, 2, tzinfo=dt.UTC)
    assert len(run_component(SqlSource, params=params, secrets={"url": url}).out) == 9


def test_new_rows_are_followed(sqlite_url: str) -> None:
    run(sqlite_url, "create table news (id integer primary key)", "insert into news values (1)")
    params = {"query": "select * from news", "cursor": ["id"], "schema": "record{id: int}", "follow": True, "poll_s": 0.05}
    with Reading(SqlSource, params, {"url": sqlite_url}) as one:
        items = iter(one.items())
        assert next(items).value.id == 1
        run(sqlite_url, "insert into news values (2), (3)")
        assert [next(items).value.id, next(items).value.id] == [2, 3]


def test_a_locked_database_is_waited_for(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thalweg_components.sql_connection.CONNECT_TIMEOUT_S", 0.1)
    run(sqlite_url, "create table locked (id integer primary key, name text)")
    one = sink(sqlite_url, "locked", give_up_after_s=0.2)
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None) as other:
        other.execute("begin exclusive")
        with pytest.raises(RecordError, match=r"was away for 0.2 s: database is locked"):
            one.give(1, rows(1, 1))
        other.execute("rollback")
    other.close()
    assert len(one.give(1, rows(1, 1))) == 1
    one.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("hush-hush", "no database URL"),
        ("hush+hush://a:hush@b/c", "no database URL"),
        ("mysql+asyncmy://a:hush@b/c", "the library asyncmy is not installed"),
        ("sqlite:////nowhere/hush.db", "unable to open"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused_and_not_shown(url: str, said: str) -> None:
    with pytest.raises(RejectedError, match=said) as found:
        sink(url, "t")
    assert "hush" not in f"{found.value} {found.value.hint}"


@pytest.mark.parametrize(
    ("query", "error"), [("select from where", "syntax error"), ("select 1 as nr", "no column id"), ("select * from nowhere", "nowhere")]
)
def test_a_query_that_is_none_is_refused(url: str, query: str, error: str) -> None:
    params = {"query": query, "cursor": ["id"], "schema": "record{id: int}"}
    with Reading(SqlSource, params, {"url": url}) as one, pytest.raises(RejectedError, match=error):
        one.take(1)


_text = some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_values = some.fixed_dictionaries(
    {
        "name": some.none() | _text,
        "at": some.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2250, 1, 1), timezones=some.just(dt.UTC)),  # noqa: DTZ001
        "ok": some.booleans(),
        "x": some.floats(allow_nan=False),
        "tags": some.lists(_text, max_size=4),
        "of": some.none() | some.dictionaries(_text, some.integers(-(2**53), 2**53), max_size=4),
        "raw": some.binary(max_size=40),
        "gap": some.timedeltas(dt.timedelta(days=-1000), dt.timedelta(days=1000)),
    }
)


@pytest.mark.parametrize(("place", "through"), [("postgres", "postgres"), ("postgres", "sql"), ("sqlite", "sql")])
def test_values_come_back_as_they_went_in(place: str, through: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url: str = request.getfixturevalue(f"{place}_url")
    columns = IN_SQLITE if place == "sqlite" else IN_POSTGRES if through == "postgres" else IN_SQL
    table, bound = f"values_{place}_{through}", {"url": url if through == "postgres" else url.replace("postgresql:", "postgresql+psycopg:")}
    run(url, f"create table {table} (id bigint primary key, {columns})")
    into, out_of = (PostgresSink, PostgresSource) if through == "postgres" else (SqlSink, SqlSource)
    params = {"query": QUERY.format(table), "cursor": ["id"], "schema": KIND}
    one = Copy(into, KIND, {"table": table, "columns": COLUMNS, "keys": ["id"]}, bound, run="")

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(some.lists(_values, min_size=1, max_size=8))
    def come_back(records: list[dict[str, Any]]) -> None:
        run(url, f"delete from {table}")
        numbered = [{"id": n} | record for n, record in enumerate(records)]
        one.give(1, numbered)
        with Reading(out_of, params, bound) as read:
            found = [item.value for item in read.items()]
        for value, record in zip(found, numbered, strict=True):
            gap = abs(value.gap - record["gap"])
            assert gap <= dt.timedelta(microseconds=0 if through == "postgres" else 1)  # as seconds in a float
            assert {name: getattr(value, name) for name in record if name != "gap"} == {k: v for k, v in record.items() if k != "gap"}

    come_back()
    one.close()
