"""Artifact records say what they must, and retries end."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from thalweg.artifacts import ArtifactRecord
from thalweg.artifacts.retry import Patience
from thalweg.errors import RejectedError, UnreachableError

RECORD = {"id": "sha256:" + "0" * 64, "type": "csv", "name": "a.csv", "size_bytes": 1, "created": "2026-01-01T00:00:00Z"}


def test_a_record_comes_back_from_json() -> None:
    found = ArtifactRecord.model_validate(RECORD | {"owner": "lease:a1", "facts": {"columns": {"a": "int"}}})
    assert ArtifactRecord.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    "fault", [{"id": "x"}, {"name": "../a"}, {"name": ""}, {"owner": "me"}, {"created": "2026-01-01T00:00:00"}, {"more": 1}]
)
def test_a_record_that_is_not_valid_is_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ArtifactRecord.model_validate(RECORD | fault)


def test_an_attempt_is_made_again_until_it_succeeds() -> None:
    errors = [UnreachableError("down", code="store.unreachable"), RejectedError("gone", code="store.upload_gone")]

    def attempt() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert Patience(60).run(attempt) == "done"


@pytest.mark.parametrize("error", [UnreachableError("down", code="store.unreachable"), RejectedError("refused", code="store.refused")])
def test_patience_ends_and_is_for_passing_errors_only(error: Exception) -> None:
    calls = []

    def attempt() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        Patience(0 if isinstance(error, UnreachableError) else 60).run(attempt)
    assert len(calls) == 1


def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    outage = [UnreachableError("down", code="store.unreachable")] * 3
    patience = Patience(60)

    def attempt() -> None:
        if errors:
            raise errors.pop()

    for _ in range(2):
        patience.renew()
        errors = outage[1:]
        patience.run(attempt)
    assert [one.getMessage() for one in caplog.records] == ["down; trying again for up to 60 s"] * 2
