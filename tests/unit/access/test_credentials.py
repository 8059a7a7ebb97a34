"""Keys, tokens and credentials of NATS, without a server; that a server takes them, tests/integration/test_access.py shows."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.access.access import Access
from thalweg.access.claims import issue, read
from thalweg.access.credentials import Credentials
from thalweg.access.issuer import Issuer, Signer
from thalweg.access.permissions import of_gateway, of_program, of_vertex
from thalweg.errors import RejectedError
from thalweg.sealed.nkeys import Kind, NatsKey, verify

ACCOUNT, OTHER = NatsKey(Kind.ACCOUNT, bytes(range(32))), NatsKey(Kind.ACCOUNT, bytes(32))
SIGNER = Signer(ACCOUNT.public, ACCOUNT)
ISSUER = Issuer("default", SIGNER, Signer(OTHER.public, OTHER))


@given(st.sampled_from(Kind), st.binary(min_size=32, max_size=32))
def test_a_key_is_what_its_seed_says(kind: Kind, raw: bytes) -> None:
    key = NatsKey(kind, raw)
    again = NatsKey.of_seed(key.seed)
    assert (again.public, again.kind, again.seed) == (key.public, kind, key.seed)
    assert key.seed[:2] == "S" + kind.name[0] and key.public[0] == kind.name[0]
    verify(key.public, b"said", again.sign(b"said"))
    with pytest.raises(RejectedError):
        verify(key.public, b"other", again.sign(b"said"))
    assert key.seed not in f"{key} {key!r}"


@pytest.mark.parametrize("seed", ["", "SU", ACCOUNT.public, ACCOUNT.seed[:-1] + "A", ACCOUNT.seed.lower(), "S" * 58, "SUÄ"])
def test_what_is_no_seed_is_refused_without_being_shown(seed: str) -> None:
    with pytest.raises(RejectedError) as caught:
        NatsKey.of_seed(seed)
    assert caught.value.code == "key.invalid" and (len(seed) < 3 or seed not in str(caught.value))


def test_a_token_says_what_was_signed_and_nothing_else() -> None:
    jwt = issue(ACCOUNT, OTHER.public, "who", "user", {"subs": -1}, 5, 9)
    claims = read(jwt)
    assert (claims["iss"], claims["sub"], claims["name"], claims["iat"], claims["exp"]) == (ACCOUNT.public, OTHER.public, "who", 5, 9)
    assert claims["nats"] == {"subs": -1, "type": "user", "version": 2}
    header, body, signature = jwt.split(".")
    other = base64.urlsafe_b64encode(json.dumps({**claims, "name": "me"}).encode()).decode().rstrip("=")
    for forged in (f"{header}.{other}.{signature}", f"{header}.{body}.{signature[:-2]}AA", f"{header}.{body}", "", "a.b.c", "e30.e30."):
        with pytest.raises(RejectedError) as caught:
            read(forged)
        assert caught.value.code == "credentials.invalid" and (not forged or forged not in str(caught.value))


def test_credentials_are_read_as_they_were_written(tmp_path: Path) -> None:
    made = ISSUER.for_vertex("flow", "wet~2", 60, has_outlet=False)
    path = tmp_path / "wet.creds"
    path.write_text(made.text())
    path.chmod(0o640)
    found = Credentials.load(path)
    assert (found.jwt, found.key.seed, found.name) == (made.jwt, made.key.seed, "vertex flow/wet~2")
    assert found.expires_s is not None and 50 < found.expires_s - time.time() <= 60 and not found.is_expired
    assert found.reader("TW_default_flow") == "tw.default.api.reader.TW_default_flow.wet~2"
    assert made.key.seed not in repr(found) and made.jwt not in repr(found)
    path.chmod(0o644)
    with pytest.raises(RejectedError) as caught:
        Credentials.load(path)
    assert caught.value.code == "credentials.exposed"


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n"])
def test_what_are_no_credentials_is_refused(text: str) -> None:
    with pytest.raises(RejectedError) as caught:
        Credentials.parse(text)
    assert caught.value.code == "credentials.invalid"


def test_a_token_of_another_key_is_refused() -> None:
    with pytest.raises(RejectedError):
        Credentials(ISSUER.for_gateway().jwt, NatsKey.make(Kind.USER))


def test_an_inbox_is_a_vertex_own_and_outlives_its_credentials() -> None:
    first, again = (ISSUER.for_vertex("flow", "wet", 60, has_outlet=False) for _ in range(2))
    assert first.inbox == again.inbox and first.jwt != again.jwt
    others = {ISSUER.for_vertex("flow", "dry", 60, has_outlet=False).inbox, ISSUER.for_gateway().inbox}
    others |= {ISSUER.for_program("p", (), (), None).inbox, ISSUER.for_program("p", (), (), None).inbox}
    assert len(others | {first.inbox}) == 5
    assert "_INBOX.>" not in first.claims["nats"]["sub"]["allow"]


def test_no_permission_of_a_vertex_reaches_beyond_it() -> None:
    found = of_vertex("ws", "flow", "wet", "_INBOX_x", has_outlet=True)
    assert set(found.publish) == {
        "tw.ws.flow.v.wet.*.0",
        "tw.ws.flow.out.wet.out",
        "tw.ws.log.flow.wet",
        "tw.ws.api.reader.TW_ws_flow.wet",
        "$JS.API.STREAM.INFO.TW_ws_flow",
        "$JS.API.STREAM.MSG.GET.TW_ws_flow",
        "$JS.API.CONSUMER.MSG.NEXT.TW_ws_flow.*",
        "$JS.API.CONSUMER.DELETE.TW_ws_flow.*",
        "$JS.API.DIRECT.GET.KV_TW_ws_deployments.$KV.TW_ws_deployments.flow",
    }
    assert found.subscribe == ("_INBOX_x.>",)
    without = of_vertex("ws", "flow", "wet~2", "_INBOX_x", has_outlet=False)
    assert "tw.ws.flow.v.wet.*.2" in without.publish and not any(".out." in one for one in without.publish)


def test_a_program_without_inputs_may_publish_nothing() -> None:
    claims = of_program((), ("tw.ws.flow.out.show.out",), "_INBOX_x").claims()
    assert claims["pub"] == {"allow": [], "deny": [">"]}  # to the server, an empty list alone is everything


def test_the_gateway_changes_nothing_but_inputs() -> None:
    found = of_gateway("ws", "_INBOX_x")
    changing = ("CREATE", "UPDATE", "PURGE", "STREAM.DELETE", "MSG.DELETE", "$KV", ".v.", ".out.")
    assert not [one for one in found.publish if any(word in one for word in changing)]
    assert "$JS.API.STREAM.MSG.GET.KV_TW_ws_secrets" in found.not_publish


def test_an_issuer_is_of_one_workspace(tmp_path: Path) -> None:
    path = tmp_path / "issuer.json"
    one = {"account": ACCOUNT.public, "seed": ACCOUNT.seed}
    path.write_text(json.dumps({"workspace": "a", "vertices": one, "programs": one}))
    path.chmod(0o600)
    assert Issuer.load(path, "a").workspace == "a"
    for workspace, text, code in (
        ("b", path.read_text(), "issuer.foreign"),
        ("a", "{}", "issuer.invalid"),
        ("a", "no", "issuer.invalid"),
        ("a", json.dumps({"workspace": "a", "vertices": {**one, "seed": "SA"}, "programs": one}), "issuer.invalid"),
    ):
        path.write_text(text)
        with pytest.raises(RejectedError) as caught:
            Issuer.load(path, workspace)
        assert caught.value.code == code
    path.chmod(0o604)
    with pytest.raises(RejectedError) as caught:
        Issuer.load(path, "a")
    assert caught.value.code == "issuer.exposed"


def test_access_is_handed_over_by_value(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("PEM")
    given = Access(tmp_path / "own.creds", None, authority).handed_over(ISSUER.for_gateway().text())
    found = Access.of_line(given.line())
    assert found == given and found.path is None and found.demands_tls
    assert found.credentials() is not None and "SU" not in repr(found)
    for line in ("", "no", "[]", '{"credentials": "x"}'):
        with pytest.raises(RejectedError) as caught:
            Access.of_line(line)
        assert caught.value.code == "credentials.undelivered"
