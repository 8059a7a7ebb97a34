"""The components that let some records through: sample and rate-limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from thalweg.testing import run_component
from thalweg_components.processors.sample import Sample

Drive = Callable[..., Any]
KIND = "record{k: str?, n: int}"
SECOND = 1_000_000_000


def given(*keys: str | None) -> list[dict[str, Any]]:
    return [{"k": key, "n": number} for number, key in enumerate(keys)]


def numbers(found: Any) -> list[int]:
    return [one.n for one in found.out]


@pytest.mark.parametrize("restart_at", [None, 4])
def test_every_so_many_th_record_is_let_through(drive: Drive, restart_at: int | None) -> None:
    found = drive("sample", given(*"aaaaaaaa"), types={"in": KIND}, params={"every": 3}, restart_at=restart_at)
    assert numbers(found) == [0, 3, 6]


def test_a_share_of_the_records_is_the_same_in_every_run_and_part_of_a_larger_share() -> None:
    def sampled(share: float, batch: int = 7) -> list[int]:
        return run_component(Sample, list(range(2000)), params={"share": share}, batch=batch).out

    assert 150 < len(sampled(0.1)) < 250
    assert sampled(0.1) == sampled(0.1, batch=100)
    assert set(sampled(0.1)) < set(sampled(0.3))
    assert (sampled(0), sampled(1)) == ([], list(range(2000)))


def test_records_of_one_key_stay_together(drive: Drive) -> None:
    records = given(*[f"key {n % 50}" for n in range(200)], None, None)
    found = drive("sample", records, types={"in": KIND}, params={"share": 0.5, "key": "k"})
    assert all(sum(one.k == key for one in found.out) == 4 for key in {one.k for one in found.out} - {None})
    assert 40 < len(found.out) < 160
    other = drive("sample", records, types={"in": KIND}, params={"share": 0.5, "key": "k", "seed": 1})
    assert other.out != found.out


@pytest.mark.parametrize("params", [{}, {"share": 0.5, "every": 2}, {"every": 2, "key": "k"}, {"share": 1.1}, {"every": 0}])
def test_a_sample_is_said_in_one_way(drive: Drive, params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        drive("sample", types={"in": KIND}, params=params)


@pytest.mark.parametrize("restart_at", [None, 3, 5])
def test_a_rate_holds_in_event_time(drive: Drive, restart_at: int | None) -> None:
    times = [0, 0, 0, SECOND // 2, SECOND // 2, 5 * SECOND, 5 * SECOND, 5 * SECOND]
    found = drive("rate-limit", given(*"aaaaaaaa"), types={"in": KIND}, times=times, params={"records": 2}, restart_at=restart_at)
    assert numbers(found) == [0, 1, 3, 5, 6]


def test_each_key_has_a_rate_of_its_own_and_nulls_are_one_key(drive: Drive) -> None:
    params = {"records": 1, "per_s": 10, "key": "k"}
    found = drive("rate-limit", given("a", "b", "a", None, None), types={"in": KIND}, times=[0, 1, 2, 3, 4], params=params)
    assert numbers(found) == [0, 1, 3]


def test_a_burst_is_made_good_by_silence(drive: Drive) -> None:
    params = {"records": 1, "per_s": 1, "burst": 3}
    times = [second * SECOND for second in (0, 0, 0, 0, 1, 1, 10, 10, 10, 10)]
    found = drive("rate-limit", given(*"aaaaaaaaaa"), types={"in": KIND}, times=times, params=params)
    assert numbers(found) == [0, 1, 2, 4, 6, 7, 8]


def test_a_late_record_counts_as_of_the_latest_time(drive: Drive) -> None:
    times = [10 * SECOND, 0, 10 * SECOND + 1]
    assert numbers(drive("rate-limit", given(*"aaa"), types={"in": KIND}, times=times, params={"records": 2})) == [0, 1]


def test_keys_of_long_ago_are_forgotten(drive: Drive) -> None:
    many = 3000
    records, times = given(*map(str, range(many))), [n * SECOND for n in range(many)]
    found = drive("rate-limit", records, types={"in": KIND}, times=times, params={"records": 1, "key": "k"}, restart_at=many - 1)
    assert len(found.out) == many
