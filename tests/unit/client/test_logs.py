"""Where to begin to read so that the last records come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thalweg.client.logs import Which, find_start
from thalweg.wire.log_record import LogRecord


@given(st.sets(st.integers(1, 300), min_size=1), st.integers(1, 50), st.integers(0, 20))
async def test_the_start_leaves_exactly_as_many_as_are_wanted(sequences: set[int], wanted: int, others: int) -> None:
    ordered = sorted(sequences)

    async def count_from(sequence: int) -> int:
        return sum(one >= sequence for one in ordered)

    start = await find_start(count_from, ordered[0], ordered[-1] + others, wanted)
    assert [one for one in ordered if one >= start] == ordered[-wanted:]


def test_a_level_keeps_itself_and_what_is_worse() -> None:
    def kept(level: str) -> bool:
        return Which("d", level="warning").keeps(
            LogRecord(time_ns=0, level=level, logger="", message="", deployment="d", vertex="v")  # type: ignore[arg-type]
        )

    assert [kept(one) for one in ("debug", "info", "warning", "error", "critical")] == [False, False, True, True, True]
