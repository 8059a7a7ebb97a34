"""Evidence: built from specs and commits, signed, compared, read back into a spec."""

from __future__ import annotations

import json

import msgspec
import pytest

from thalweg.errors import RejectedError
from thalweg.sealed.evidence import check_signature, signed
from thalweg.sealed.signatures import SigningKey
from thalweg.wire.commit import Commit, Counters, Generated, PortDigest
from thalweg.wire.evidence import account, account_faults, build, differences, spec_from
from thalweg.wire.spec import DeploymentSpec, ExpectSpec, VertexSpec

KEY = SigningKey(bytes(32))
SOURCE = VertexSpec("a", "numbers@1.0.0", "sha256:1", "x.py", "source", outputs={"out": "int"}, deterministic=False)
SPEC = DeploymentSpec("default", "live", "graph", [SOURCE], expect=[ExpectSpec("a", "out", 5)])


def commits(count: int = 5, digest: str = "aa", artifact: str = "sha256:f", drained: bool = False) -> dict[str, Commit]:
    return {
        "a": Commit(
            epoch=1,
            number=2,
            ended=True,
            drained=drained,
            counters=Counters(records_in=count),
            ports={"out": PortDigest(count, digest)},
            generated={"table": Generated("t.csv", artifact, 10)},
        )
    }


def test_what_is_signed_is_read_back_and_any_change_is_noticed() -> None:
    document = json.loads(signed(build(SPEC, commits(), "e", 1, "always"), KEY))
    assert check_signature(document, KEY.public) == KEY.public
    assert (document["verdict"], document["not_deterministic"]) == ("met", ["a"])
    with pytest.raises(RejectedError) as refused:
        check_signature(document, SigningKey(bytes([1] * 32)).public)
    assert refused.value.code == "signature.foreign"
    document["vertices"]["a"]["ports"]["out"]["count"] = 6
    with pytest.raises(RejectedError) as refused:
        check_signature(document, None)
    assert refused.value.code == "signature.invalid"


def test_the_same_specs_and_commits_make_the_same_bytes() -> None:
    assert signed(build(SPEC, commits(), "e", 1, "always"), KEY) == signed(build(SPEC, commits(), "e", 1, "always"), KEY)


def test_an_expectation_that_is_not_met_and_a_run_that_did_not_end_are_told() -> None:
    assert build(SPEC, commits(4), "e", 1, "always")["verdict"] == "not met"
    assert build(SPEC, {}, "e", 1, "always")["verdict"] == "not finished"


def test_an_account_says_what_the_evidence_will_say_and_what_differs_is_told() -> None:
    told = account(SPEC, commits(), "always")
    owned = msgspec.structs.replace(SPEC, lease="nightly")
    document = json.loads(signed(build(owned, commits(), "e", 1, "always"), KEY))
    assert account_faults(told, document) == [] and "replay" not in told
    other = build(msgspec.structs.replace(SPEC, backend="b"), commits(6), "e", 1, "always")
    lines = ["backend is another one than in the evidence", "vertices is another one than in the evidence"]
    assert set(lines) <= set(account_faults(told, other)) and "what ran is another graph than in the evidence" in account_faults(
        told, other
    )


def test_a_drained_source_is_run_again_for_as_many_records() -> None:
    assert spec_from(build(SPEC, commits(7, drained=True), "e", 1, "always")).vertices[0].stop_after == 7
    assert spec_from(build(SPEC, commits(7), "e", 1, "always")).vertices[0].stop_after is None
    with pytest.raises(RejectedError):
        spec_from({"spec": 1})


@pytest.mark.parametrize(
    ("again", "told"),
    [
        (commits(), []),
        (commits(4), ["a.out: 5 records, now 4"]),
        (commits(digest="bb"), ["a.out: 5 records with digest aa, now bb"]),
        (commits(artifact="sha256:g"), ["a: generated file table (t.csv) was sha256:f…, 10 bytes, now sha256:g…, 10 bytes"]),
    ],
)
def test_another_run_is_compared_by_ports_and_files(again: dict[str, Commit], told: list[str]) -> None:
    assert differences(build(SPEC, commits(), "e", 1, "always"), build(SPEC, again, "e", 2, "always")) == told


def test_a_log_in_memory_is_never_synced_whatever_the_server_does() -> None:
    assert build(SPEC, commits(), "e", 1, "unknown")["sync"] == "unknown"
    assert build(msgspec.structs.replace(SPEC, storage="memory"), commits(), "e", 1, "always")["sync"] == "never"


def test_evidence_says_on_how_many_servers_the_log_was_kept() -> None:
    assert build(msgspec.structs.replace(SPEC, replicas=3), commits(), "e", 1, "always")["replicas"] == 3
