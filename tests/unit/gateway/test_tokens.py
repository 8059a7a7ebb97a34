"""Tokens of endpoints, and how much each caller may send."""

from __future__ import annotations

import pytest

from thalweg.wire.endpoints import MAX_TOKENS, EndpointRecord, hash_token, is_accepted, rotate
from thalweg_gateway.rates import Rates
from thalweg_gateway.refusals import RequestError

EMPTY = EndpointRecord("in", 0)


def test_only_its_own_token_opens_an_endpoint() -> None:
    record = rotate(EMPTY, "twe_a", 10, 0)
    assert is_accepted(record, "twe_a", 11)
    assert not any(is_accepted(record, token, 11) for token in (None, "", "twe_b", hash_token("twe_a")))
    assert not is_accepted(None, "twe_a", 11) and not is_accepted(EMPTY, None, 11) and not is_accepted(EMPTY, "", 11)


def test_old_and_new_tokens_overlap_for_the_grace_time() -> None:
    record = rotate(rotate(EMPTY, "twe_a", 10, 0), "twe_b", 20, 5)
    assert is_accepted(record, "twe_a", 24) and is_accepted(record, "twe_b", 24)
    assert not is_accepted(record, "twe_a", 25) and is_accepted(record, "twe_b", 25)


def test_a_later_rotation_makes_no_grace_time_longer() -> None:
    record = rotate(rotate(rotate(EMPTY, "twe_a", 10, 0), "twe_b", 20, 5), "twe_c", 22, 100)
    assert not is_accepted(record, "twe_a", 26) and is_accepted(record, "twe_b", 26)


def test_without_grace_only_the_new_token_is_left() -> None:
    record = rotate(rotate(EMPTY, "twe_a", 10, 0), "twe_b", 20, 0)
    assert [one.sha256 for one in record.tokens] == [hash_token("twe_b")]


def test_the_number_of_tokens_is_bounded() -> None:
    record = EMPTY
    for number in range(20):
        record = rotate(record, f"twe_{number}", number, 1000)
    assert len(record.tokens) == MAX_TOKENS and is_accepted(record, "twe_19", 20) and not is_accepted(record, "twe_15", 20)


def test_a_caller_has_so_many_at_once_and_then_so_many_a_second() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    rates.spend("a", 10, 2.0, 10)
    with pytest.raises(RequestError) as told:
        rates.spend("a", 4, 2.0, 10)
    assert (told.value.code, told.value.facts["retry_after_s"]) == ("rate.exceeded", 2)
    rates.spend("b", 10, 2.0, 10)
    now = 2.0
    rates.spend("a", 4, 2.0, 10)
    with pytest.raises(RequestError):
        rates.spend("a", 1, 2.0, 10)
    with pytest.raises(RequestError, match="at once"):
        rates.spend("c", 11, 2.0, 10)
