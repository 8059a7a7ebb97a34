"""Rates out of two looks; none is negative, whatever has begun anew."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from thalweg.api.deployments import DeploymentStatus, VertexStatus
from thalweg.client.rates import Look, rates


def look(at_s: float, deployed_ns: int = 1, **vertices: dict[str, Any]) -> Look:
    found = [VertexStatus(vertex=name, component="c@1", state="running", **facts) for name, facts in vertices.items()]
    return Look(
        at_s,
        DeploymentStatus(name="d", backend="b", revision=1, generation=1, deployed_ns=deployed_ns, state="running", vertices=found),
    )


def test_counts_become_rates_by_the_time_between() -> None:
    before = look(10.0, v={"records_in": 100, "records_out": 50, "bytes_out": 1000, "errors": 1, "cpu_s": 3.0})
    now = look(12.0, v={"records_in": 300, "records_out": 60, "bytes_out": 5000, "errors": 3, "cpu_s": 4.0})
    found = rates(before, now)["v"]
    assert (found.records_in, found.records_out, found.bytes_out, found.errors, found.cpu) == (100.0, 5.0, 2000.0, 1.0, 0.5)


def test_a_vertex_that_was_added_counts_from_nothing() -> None:
    found = rates(look(0.0, a={"records_in": 5}), look(2.0, a={"records_in": 5}, b={"records_in": 8}))
    assert (found["a"].records_in, found["b"].records_in) == (0.0, 4.0)


def test_another_deployment_of_the_same_name_counts_from_nothing() -> None:
    found = rates(look(0.0, 1, v={"records_in": 1000}), look(1.0, 2, v={"records_in": 1200}))
    assert found["v"].records_in == 1200.0


def test_processor_time_of_another_process_is_not_told() -> None:
    assert rates(look(0.0, v={"cpu_s": 9.0}), look(1.0, v={"cpu_s": 0.5}))["v"].cpu is None
    assert rates(look(0.0, v={}), look(1.0, v={"cpu_s": 0.5}))["v"].cpu is None


COUNTS = st.fixed_dictionaries({name: st.integers(0, 10**12) for name in ("records_in", "records_out", "bytes_out", "errors")})


@given(COUNTS, COUNTS, st.floats(0, 100), st.floats(0, 100), st.integers(1, 2))
def test_no_rate_is_negative(before: dict[str, Any], now: dict[str, Any], at_s: float, later_s: float, deployed_ns: int) -> None:
    found = rates(look(at_s, v=before), look(at_s + later_s, deployed_ns, v=now))["v"]
    assert min(found.records_in, found.records_out, found.bytes_out, found.errors) >= 0
