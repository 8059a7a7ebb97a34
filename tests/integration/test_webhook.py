"""webhook and http-enrich against a real HTTP server: signed, tried again, never twice in effect, secrets nowhere."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from integration.deploying import Place, store_backend, undeploy, until, when
from integration.live import bound
from integration.receiver import OK, Receiver, Reply, Seen, receiving
from thalweg import Image
from thalweg.api import deployments as api
from thalweg.api.secrets import SET, SetSecret
from thalweg.client import Session
from thalweg.errors import RejectedError, RunFailedError, UnreachableError
from thalweg.graph.types import ImageType
from thalweg.testing import run_component
from thalweg_components.processors.http_enrich import HttpEnrich
from thalweg_components.sinks.webhook import Webhook

KEY = base64.b64encode(bytes(range(32))).decode()
SIGNING = f"whsec_{KEY}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def answers(*replies: Reply) -> Any:
    """Each once, in order, then 200."""
    left = list(replies)
    return lambda seen: left.pop(0) if left else OK


def receipts(found: Any) -> list[Any]:
    return list(found.outputs["receipts"])


def test_a_message_is_signed_as_standard_webhooks_has_it(receiver: Receiver) -> None:
    secrets = {"signing": SIGNING, "authorization": "Bearer a-token-of-mine"}
    params = {"url": f"{receiver.url}/hook?via=test", "headers": {"x-tenant": "7"}}
    found = run_component(Webhook, [{"n": 1}, {"n": 2}], params, secrets=secrets)
    first = receiver.seen[0]
    assert (first.method, first.path, json.loads(first.body)) == ("POST", "/hook?via=test", {"n": 1})
    assert (first.headers["content-type"], first.headers["x-tenant"]) == ("application/json", "7")
    assert first.headers["authorization"] == "Bearer a-token-of-mine"
    signed = f"{first.headers['webhook-id']}.{first.headers['webhook-timestamp']}.".encode() + first.body
    expected = base64.b64encode(hmac.new(base64.b64decode(KEY), signed, hashlib.sha256).digest()).decode()
    assert first.headers["webhook-signature"] == f"v1,{expected}"
    told = receipts(found)
    assert [one.reference for one in told] == [one.headers["webhook-id"] for one in receiver.seen]
    assert told[0].target == f"{receiver.url}/hook" and told[0].attempts == 1


def test_what_may_go_later_is_tried_again_with_the_same_id(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await real(0)

    monkeypatch.setattr("thalweg_components.http_client.asyncio.sleep", sleep)
    receiver.answer = answers((503, {"retry-after": "7"}, b""), (429, {}, b""), (408, {}, b""))
    found = run_component(Webhook, ["a"], {"url": receiver.url})
    assert receipts(found)[0].attempts == 4 and len({one.headers["webhook-id"] for one in receiver.seen}) == 1
    assert waits[0] >= 7 and max(waits[1:]) < 2


@pytest.mark.parametrize("status", [400, 404, 301, 501])
def test_what_is_refused_for_good_is_a_faulty_record(receiver: Receiver, status: int) -> None:
    receiver.answer = answers((status, {"location": f"{receiver.url}/elsewhere"}, b"no such hook"))
    found = run_component(Webhook, ["a", "b"], {"url": receiver.url}, on_error="dead-letter")
    assert len(found.dead) == 1 and f"status {status}: no such hook" in found.dead[0]["error"]
    assert len(receipts(found)) == 1 and len(receiver.seen) == 2  # no redirect was followed, nothing sent twice


def test_an_outage_ends_where_it_is_to(receiver: Receiver) -> None:
    receiver.answer = lambda seen: (500, {}, b"")
    with pytest.raises(RunFailedError, match=r"not taken within 0\.3 s: status 500"):
        run_component(Webhook, ["a"], {"url": receiver.url, "give_up_after_s": 0.3})


def test_bodies_are_sent_as_what_they_are(receiver: Receiver) -> None:
    run_component(Webhook, [b"\x00\x01"], {"url": receiver.url})
    run_component(Webhook, ["grün"], {"url": receiver.url})
    run_component(Webhook, [Image.from_array(np.zeros((2, 2, 3), np.uint8), "bgr8")], {"url": receiver.url}, in_type=ImageType(None))
    kinds = [one.headers["content-type"] for one in receiver.seen]
    assert kinds == ["application/octet-stream", "text/plain; charset=utf-8", "image/jpeg"]
    assert receiver.seen[1].body == "grün".encode() and receiver.seen[2].body.startswith(b"\xff\xd8\xff")


def test_of_a_batch_that_fails_only_the_rest_is_sent_again(receiver: Receiver) -> None:
    receiver.answer = lambda seen: (400, {}, b"") if seen.body == b"3" else OK
    found = run_component(Webhook, [str(n) for n in range(6)], {"url": receiver.url, "in_flight": 3}, on_error="dead-letter")
    sent = [one.body for one in receiver.seen]
    assert len(found.dead) == 1 and len(receipts(found)) == 5 and all(sent.count(str(n).encode()) == 1 for n in range(3))


def test_private_addresses_are_refused_where_they_are_to_be(receiver: Receiver) -> None:
    port = receiver.port
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(RunFailedError, match="which is private"):
            run_component(Webhook, ["a"], {"url": f"http://{host}:{port}", "private_addresses": False})
    assert receiver.seen == []


def test_secrets_are_in_no_message(receiver: Receiver) -> None:
    receiver.answer = lambda seen: (401, {}, b"")
    url = f"{receiver.url}/services/T0P-S3CRET"
    with pytest.raises(RunFailedError) as raised:
        run_component(Webhook, ["a"], {}, secrets={"url": url})
    assert "T0P-S3CRET" not in str(raised.value) and "status 401" in str(raised.value)
    with pytest.raises(RunFailedError, match="24 to 64 are a key") as raised:
        run_component(Webhook, ["a"], {"url": receiver.url}, secrets={"signing": "whsec_c2hvcnQ="})
    assert "c2hvcnQ" not in str(raised.value)
    with pytest.raises(ValueError, match="is a secret"):
        run_component(Webhook, ["a"], {"url": receiver.url, "headers": {"Authorization": "x"}})
    with pytest.raises(ValueError, match="user and password are secrets"):
        run_component(Webhook, ["a"], {"url": "http://me:it@host/"})


async def test_a_probe_says_whether_anybody_answers(receiver: Receiver) -> None:
    await bound(Webhook, {"url": receiver.url}).probe()
    receiver.answer = lambda seen: (403, {}, b"")
    with pytest.raises(RejectedError, match="status 403"):
        await bound(Webhook, {"url": receiver.url}).probe()
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    with pytest.raises(UnreachableError) as raised:
        await bound(Webhook, {"url": f"http://127.0.0.1:{free}"}).probe()
    assert raised.value.facts["target"] == f"http://127.0.0.1:{free}"


def station(seen: Seen) -> Reply:
    code = seen.path.rpartition("/")[2]
    return (404, {}, b"") if code == "X" else (200, {}, json.dumps({"city": f"city {code}"}).encode())


ENRICH = {"schema": "record{city: str}", "field": "station"}


def test_answers_are_added_in_order_and_asked_for_once(receiver: Receiver) -> None:
    receiver.answer = station
    params = {**ENRICH, "url": receiver.url + "/stations/{code}"}
    records = [{"code": code} for code in ("A", "B", "A", "X", "C", "a/b")] * 20
    found = run_component(HttpEnrich, records, params)
    assert [one.station and one.station.city for one in found.out[:5]] == ["city A", "city B", "city A", None, "city C"]
    assert len(found.out) == 120 and sorted({one.path for one in receiver.seen}) == [
        f"/stations/{code}" for code in ("A", "B", "C", "X", "a%2Fb")
    ]
    assert len(receiver.seen) == 5


def test_missing_and_wrong_answers(receiver: Receiver) -> None:
    receiver.answer = station
    params = {**ENRICH, "url": receiver.url + "/stations/{code}"}
    dropped = run_component(HttpEnrich, [{"code": "X"}, {"code": "A"}], {**params, "missing": "drop"})
    assert [one.station.city for one in dropped.out] == ["city A"]
    failed = run_component(HttpEnrich, [{"code": "X"}, {"code": "A"}], {**params, "missing": "fail"}, on_error="dead-letter")
    assert len(failed.dead) == 1 and "status 404" in failed.dead[0]["error"]
    receiver.answer = lambda seen: (200, {}, b'{"city": 7}')
    wrong = run_component(HttpEnrich, [{"code": "A"}], params, on_error="dead-letter")
    assert "Expected `str`, got `int`" in wrong.dead[0]["error"]
    receiver.answer = lambda seen: (200, {}, b" " * 2000)
    large = run_component(HttpEnrich, [{"code": "A"}], {**params, "max_response_bytes": 1000}, on_error="dead-letter")
    assert "more than 1,000 bytes" in large.dead[0]["error"]
    with pytest.raises(ValueError, match="a host that no record chooses"):
        run_component(HttpEnrich, [{"code": "A"}], {**params, "url": "http://{code}/x"})


async def test_a_killed_sink_loses_nothing_and_repeats_with_the_same_id(place: Place, asking: Session) -> None:
    with receiving() as receiver:
        vertices = {
            "numbers": {"component": "numbers@1.0.0", "params": {"count": 400, "pause_s": 0.002}},
            "hook": {"component": "webhook@1.0.0", "secrets": {"url": "hook-url", "signing": "hook-key"}},
        }
        await asking.ask(SET, SetSecret(name="hook-url", value=f"{receiver.url}/T0P-S3CRET", author="ada"))
        await asking.ask(SET, SetSecret(name="hook-key", value=SIGNING, author="ada"))
        name = await store_backend(asking, vertices, "numbers.out -> hook.in")
        await asking.ask(api.DEPLOY, api.Deploy(backend=name))
        await asyncio.to_thread(receiver.wait_for, lambda seen: len(seen) > 50)
        pid = place.pid(name, "hook")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

        async def is_over() -> bool:
            return (await asking.ask(api.STATUS, api.MaybeNamed(name=name))).deployments[0].state == "finished"

        await until(is_over)
        found = await when(asking, name, lambda vertices, whole: whole.state == "finished")
    hook = next(one for one in found.vertices if one.vertex == "hook")
    assert hook.delivered == 400 and hook.target == receiver.url and hook.restarts == 1
    by_id: dict[str, set[bytes]] = {}
    for one in receiver.seen:
        by_id.setdefault(one.headers["webhook-id"], set()).add(one.body)
    assert len(by_id) == 400 and all(len(bodies) == 1 for bodies in by_id.values())
    assert sorted(int(body) for bodies in by_id.values() for body in bodies) == list(range(400))
    told = place.command("status", name)
    assert f"400 to {receiver.url}" in told.stdout and "S3CRET" not in told.stdout + told.stderr
    await undeploy(asking, name, discard=True)
