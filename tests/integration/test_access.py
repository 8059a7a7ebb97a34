"""Who may do what on NATS: real credentials of a vertex, the gateway, a program and a client, and all that they must be refused."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import msgpack
import psutil
import pytest

from integration.served import DEADLINE_S, Served, deploy, gateway_of, served, token_for, until, until_running, vertices_of
from integration.test_boundary import DOOR, DOUBLE, SHOW
from thalweg.access.access import Access
from thalweg.access.accounts import AccountName
from thalweg.access.credentials import Credentials
from thalweg.access.issuer import Signer
from thalweg.access.keys import KeyFolder
from thalweg.access.permissions import of_vertex
from thalweg.api.credentials import PROGRAM, VERTICES, ForProgram, ForVertices
from thalweg.bus.connection import Client, connect, raise_if_ended
from thalweg.bus.deployments import log_state, own_deployment
from thalweg.bus.heads import last_message
from thalweg.client import Session
from thalweg.embedded import EmbeddedStack
from thalweg.embedded.leftovers import process_of
from thalweg.errors import ShutOutError, UnreachableError
from thalweg.sealed.nkeys import Kind, NatsKey
from thalweg.settings import Settings
from thalweg.wire import subjects

SEED, TOKEN = re.compile(rb"S[UAO][A-Z2-7]{56}"), re.compile(rb"eyJ0eXAi|eyJhbGci")
OTHER = "other"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFolder:
    """Of two workspaces, and a server that is called by its address alone."""
    found = KeyFolder(tmp_path_factory.mktemp("secured") / "keys")
    found.make(["default", OTHER], ["127.0.0.1"])
    return found


@pytest.fixture(scope="module")
def place(keys: KeyFolder) -> Iterator[Served]:
    with served(keys.folder.parent, keys) as found:
        yield found


@pytest.fixture
async def session(place: Served) -> AsyncIterator[Session]:
    async with place.tidied_session() as found:
        yield found


@pytest.fixture
async def name(session: Session) -> str:
    """A deployment that doubles numbers, which has doubled one."""
    found = await deploy(session, {"door": DOOR, "double": DOUBLE, "show": SHOW}, "door.out -> double.in", "double.out -> show.in")
    await until_running(session, found)
    await session.client.request(subjects.inlet("default", found, "door"), msgpack.packb({"n": 21, "x": 0.5}), timeout=DEADLINE_S)

    async def is_shown() -> bool:
        return (await vertices_of(session, found))["show"].records_out == 1

    await until(is_shown)
    return found


@asynccontextmanager
async def let_in(place: Served, credentials: str | Credentials, url: str = "") -> AsyncIterator[Client]:
    """A connection by credentials."""
    text = credentials if isinstance(credentials, str) else credentials.text()
    client = await connect(url or place.stack.nats_url, "test", access=Access(None, text, place.settings.nats_ca))
    try:
        yield client
    finally:
        await client.close()


async def credentials_of(session: Session, name: str, vertex: str) -> str:
    """As the coordinator issues them."""
    found = (await session.ask(VERTICES, ForVertices(deployment=name))).credentials
    return next(one.text for one in found if one.name == vertex)


async def refuses(client: Any, subject: str, body: bytes = b"") -> None:
    """The server says that this may not be published."""
    client.refusal = ""
    await client.publish(subject, body)
    await is_refused(client, "publish", subject)


async def refuses_subscription(client: Any, subject: str) -> None:
    """The server says that this may not be subscribed to."""
    client.refusal = ""
    await client.subscribe(subject)
    await is_refused(client, "subscription", subject)


async def is_refused(client: Any, what: str, subject: str) -> None:
    """Waits for the server's word."""
    with suppress(TimeoutError):
        async with asyncio.timeout(10):
            while not client.refusal:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    assert what in client.refusal and f'"{subject.lower()}"' in client.refusal.lower(), (subject, client.refusal)


async def stored(session: Session, stream: str, subject: str) -> int:
    """Messages of a subject or wildcard."""
    body = json.dumps({"subjects_filter": subject}).encode()
    answer = json.loads((await session.client.request(f"$JS.API.STREAM.INFO.{stream}", body, timeout=10)).data)
    return sum((answer["state"].get("subjects") or {}).values())


async def test_a_vertex_may_do_what_is_its_own_and_no_more(place: Served, session: Session, name: str) -> None:
    elsewhere = await deploy(session, {"door": DOOR, "show": SHOW}, "door.out -> show.in")
    stream, other = subjects.stream("default", name), subjects.stream("default", elsewhere)
    bucket = subjects.deployments_bucket("default")
    async with let_in(place, await credentials_of(session, name, "double")) as vertex:
        # What it does all the time.
        assert (await own_deployment(vertex, "default", name)).name == name
        assert await log_state(vertex, "default", name) is not None
        assert (await last_message(vertex, stream, subjects.vertex_prefix("default", name, "double"))) is not None
        logged = await vertex.request(subjects.log("default", name, "double"), b"{}", timeout=10)
        assert json.loads(logged.data)["stream"] == subjects.logs_stream("default")
        fenced = {"Nats-Expected-Last-Subject-Sequence": "1"}
        written = await vertex.request(subjects.port("default", name, "double", "out"), b"", timeout=10, headers=fenced)
        assert json.loads(written.data)["error"]["err_code"] == 10071  # it was let through, and fenced

        for subject in (
            subjects.port("default", name, "door", "out"),
            subjects.port("default", name, "double~1", "out"),
            subjects.outlet("default", name, "double"),
            subjects.outlet("default", name, "show"),
            subjects.inlet("default", name, "door"),
            subjects.again("default", name, "double"),
            subjects.port("default", elsewhere, "double", "out"),
            subjects.inlet("default", elsewhere, "door"),
            subjects.log("default", name, "show"),
            subjects.api("default", "deployment", "undeploy"),
            subjects.api("default", "secret", "set"),
            subjects.api("default", "coordinator", "ping"),
            subjects.operations("default", name),
            subjects.reader("default", other, "double"),
            subjects.reader("default", stream, "show"),
            f"$KV.{bucket}.{name}",
            f"$KV.{subjects.bucket('default', 'lead')}.coordinator",
            f"$KV.{subjects.bucket('default', 'endpoints')}.{name}",
            subjects.spec_request("default", elsewhere),
            *(f"$JS.API.STREAM.{verb}.{stream}" for verb in ("PURGE", "DELETE", "UPDATE", "MSG.DELETE", "SNAPSHOT", "LEADER.STEPDOWN")),
            *(f"$JS.API.STREAM.{verb}.{other}" for verb in ("INFO", "MSG.GET", "CREATE")),
            f"$JS.API.STREAM.MSG.GET.KV_{bucket}",
            f"$JS.API.STREAM.MSG.GET.KV_{subjects.bucket('default', 'secrets')}",
            f"$JS.API.DIRECT.GET.{other}",
            f"$JS.API.DIRECT.GET.{stream}",
            "$JS.API.STREAM.LIST",
            "$JS.API.STREAM.NAMES",
            "$JS.API.INFO",
            f"$JS.API.CONSUMER.LIST.{stream}",
            f"$JS.API.CONSUMER.NAMES.{stream}",
            f"$JS.API.CONSUMER.INFO.{stream}.c",
            f"$JS.API.CONSUMER.CREATE.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}.c",
            f"$JS.API.CONSUMER.CREATE.{stream}.c.{subjects.port('default', name, 'door', 'out')}",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.c",
            f"$JS.API.CONSUMER.MSG.NEXT.{other}.c",
            f"$JS.API.CONSUMER.DELETE.{other}.c",
            "$SYS.REQ.SERVER.PING",
            "$SRV.PING",
        ):
            await refuses(vertex, subject)
        for subject in (
            ">",
            "tw.>",
            "tw.default.>",
            "_INBOX.>",
            "_INBOX.*",
            "$SYS.>",
            "$JS.>",
            "$KV.>",
            subjects.outlet("default", name, "show"),
        ):
            await refuses_subscription(vertex, subject)
    assert (await vertices_of(session, name))["double"].restarts == 0


async def test_replies_and_consumers_of_a_vertex_reach_no_other_subject(place: Served, session: Session, name: str) -> None:
    elsewhere = await deploy(session, {"door": DOOR, "show": SHOW}, "door.out -> show.in")
    await until_running(session, elsewhere)
    stream, other = subjects.stream("default", name), subjects.stream("default", elsewhere)
    log, inlet = subjects.log("default", name, "double"), subjects.inlet("default", elsewhere, "door")
    own = subjects.port("default", name, "door", "out")
    next_to_own = subjects.port("default", name, "show", "out")
    get, seq = f"$JS.API.STREAM.MSG.GET.{stream}", b'{"seq":1}'
    async with let_in(place, await credentials_of(session, name, "double")) as vertex:
        asked = subjects.reader("default", stream, "double")
        made = json.loads((await vertex.request(asked, json.dumps({"subjects": [own], "start": 1}).encode(), timeout=10)).data)
        pull, heard = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{made['name']}", vertex.new_inbox()
        pushed = {"subjects": [own], "start": 1, "deliver_subject": inlet}
        assert "error" in json.loads((await vertex.request(asked, json.dumps(pushed).encode(), timeout=10)).data)
        for reply in (inlet, next_to_own, f"$JS.API.STREAM.DELETE.{other}", f"$KV.{subjects.bucket('default', 'lead')}.x"):
            await vertex.publish(log, b"{}", reply=reply)
            await vertex.publish(get, seq, reply=reply)
            await vertex.publish(pull, b'{"batch":1,"no_wait":true}', reply=reply)
        listening = await vertex.subscribe(heard)
        await vertex.publish(get, seq, reply=heard)
        assert (await listening.next_msg(timeout=10)).data  # what was asked before is answered by now
    assert await stored(session, other, inlet) == 0
    assert await stored(session, subjects.stream("default", name), next_to_own) == 0
    # The same by who is in the account of the streams: this is what such replies can do.
    await session.client.publish(log, b"{}", reply=inlet)
    await until(lambda: _has(session, other, inlet))


async def _has(session: Session, stream: str, subject: str) -> bool:
    return await stored(session, stream, subject) == 1


async def test_the_gateway_serves_and_may_change_nothing(place: Served, session: Session, name: str, keys: KeyFolder) -> None:
    tokens = [await token_for(session, name, one) for one in ("door.in", "show.out")]
    go_in, out = ({"Authorization": f"Bearer {one}"} for one in tokens)
    with gateway_of(place) as url:
        async with httpx.AsyncClient(base_url=url, timeout=DEADLINE_S) as http:
            sent = await http.post(f"/e/{name}/door/in", headers=go_in, json={"n": 4, "x": 0.5})
            assert sent.status_code == 202, sent.text
            async with http.stream("GET", f"/e/{name}/show/out?from=start", headers={**out, "Accept": "text/event-stream"}) as events:
                async for line in events.aiter_lines():
                    if line.startswith("data:") and json.loads(line[5:]).get("twice") == 8:
                        break
    stream, bucket = subjects.stream("default", name), subjects.deployments_bucket("default")
    async with let_in(place, keys.credentials("default", "gateway").read_text()) as gateway:
        assert await log_state(gateway, "default", name) is not None
        for subject in (
            subjects.port("default", name, "door", "out"),
            subjects.outlet("default", name, "show"),
            subjects.api("default", "deployment", "undeploy"),
            f"$KV.{bucket}.{name}",
            *(f"$JS.API.STREAM.{verb}.{stream}" for verb in ("PURGE", "DELETE", "UPDATE", "CREATE", "MSG.DELETE")),
            f"$JS.API.STREAM.MSG.GET.KV_{subjects.bucket('default', 'secrets')}",
            f"$JS.API.STREAM.MSG.GET.{subjects.operations_stream('default')}",
            f"$JS.API.CONSUMER.CREATE.{stream}.c",
            "$JS.API.STREAM.NAMES",
        ):
            await refuses(gateway, subject)
        for subject in (">", "_INBOX.>", "tw.default.>"):
            await refuses_subscription(gateway, subject)
        secrets = f"KV_{subjects.bucket('default', 'secrets')}"
        asked = json.dumps({"subjects": [">"], "start": 1}).encode()
        answer = await gateway.request(subjects.reader("default", secrets, subjects.GATEWAY), asked, timeout=10)
        assert json.loads(answer.data)["error"]["code"] == 403


async def test_a_program_has_its_endpoints_and_no_more(place: Served, session: Session, name: str) -> None:
    both = await session.ask(PROGRAM, ForProgram(backend=name, names=["door.in", "show.out"]))
    inlet, outlet = subjects.inlet("default", name, "door"), subjects.outlet("default", name, "show")
    assert (both.publish, both.subscribe, both.expires_s) == ([inlet], [outlet], None)
    async with let_in(place, both.text) as program:
        answers = await program.subscribe(outlet)
        await program.flush()
        acknowledged = await program.request(inlet, msgpack.packb({"n": 5, "x": 0.5}), timeout=10)
        assert json.loads(acknowledged.data)["stream"] == subjects.stream("default", name)
        assert msgpack.unpackb((await answers.next_msg(timeout=DEADLINE_S)).data)["twice"] == 10
        for subject in (
            outlet,
            subjects.port("default", name, "door", "out"),
            subjects.api("default", "deployment", "status"),
            f"$JS.API.STREAM.INFO.{subjects.stream('default', name)}",
            f"$JS.API.STREAM.MSG.GET.{subjects.stream('default', name)}",
        ):
            await refuses(program, subject)
        for subject in (">", inlet, "tw.default.*.out.>", "_INBOX.>"):
            await refuses_subscription(program, subject)
    one = await session.ask(PROGRAM, ForProgram(backend=name, names=["show.out"], life_s=600))
    assert one.expires_s is not None and 0 < one.expires_s - time.time() <= 600
    async with let_in(place, one.text) as listener:
        await refuses(listener, inlet)


async def test_workspaces_do_not_see_each_other(place: Served, session: Session, name: str, keys: KeyFolder) -> None:
    stream = subjects.stream("default", name)
    heard: list[str] = []

    async def hear(message: Any) -> None:
        heard.append(message.subject)

    async with let_in(place, keys.credentials(OTHER, "client").read_text()) as other:
        await other.subscribe("tw.default.>", cb=hear)
        await other.flush()
        found = json.loads((await other.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=10)).data)
        assert found["error"]["err_code"] == 10059
        assert json.loads((await other.request("$JS.API.STREAM.NAMES", b"", timeout=10)).data)["total"] == 0
        await session.client.request(subjects.inlet("default", name, "door"), msgpack.packb({"n": 1, "x": 0.5}), timeout=10)
        await other.flush()
        assert not heard
        before = await last_message(session.client, stream, subjects.inlet("default", name, "door"))
        await other.publish(subjects.inlet("default", name, "door"), msgpack.packb({"n": 1, "x": 0.5}))  # in its own account, it may
        await asyncio.wait_for(_until_heard(heard), 10)
        after = await last_message(session.client, stream, subjects.inlet("default", name, "door"))
        assert after in (before, None)  # it may have been trimmed
    settings = place.settings.model_copy(update={"nats_creds": keys.credentials(OTHER, "client")})
    done = await asyncio.to_thread(_status, place, settings)
    assert done == 6  # there is no coordinator of that workspace


async def _until_heard(heard: list[str]) -> None:
    while not heard:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def _status(place: Served, settings: Settings) -> int:
    import subprocess
    import sys

    env = {**place.environment_of("client"), "THALWEG_NATS_CREDS": str(settings.nats_creds)}
    return subprocess.run([sys.executable, "-m", "thalweg_cli", "status"], env=env, capture_output=True, check=False).returncode


async def test_who_is_not_let_in_is_told_why(place: Served, session: Session, name: str, keys: KeyFolder, tmp_path: Path) -> None:
    url, authority = place.stack.nats_url, place.settings.nats_ca
    issuer = keys.issuer("default")
    good = issuer.for_vertex(name, "double", 600, has_outlet=False)
    async with let_in(place, good):
        pass

    async def refused(text: str | None, word: str, where: str = url, ca: Path | None = authority) -> UnreachableError:
        with pytest.raises(UnreachableError, match=word) as caught:
            await connect(where, "test", access=Access(None, text, ca))
        assert caught.value.code == "nats.refused" and caught.value.hint
        assert text is None or (good.key.seed not in str(caught.value) and "eyJ" not in str(caught.value))
        return caught.value

    await refused(None, "authorization violation|Authorization Violation")
    forger = Signer(good.claims["nats"]["issuer_account"], NatsKey.make(Kind.ACCOUNT))
    forged = forger.sign("vertex", of_vertex("default", name, "double", "_INBOX_x", has_outlet=False))
    await refused(forged.text(), "uthorization")
    foreign = Signer(NatsKey.make(Kind.ACCOUNT).public, issuer._vertices.key).sign("vertex", None)
    await refused(foreign.text(), "uthorization")
    gone = issuer.for_vertex(name, "double", 1, has_outlet=False)
    await asyncio.sleep(1.1)
    await refused(gone.text(), "expired")

    made = KeyFolder(tmp_path / "keys")
    made.make(["default"], ["127.0.0.1"])
    await refused(good.text(), "certificate", ca=made.folder / "ca.pem")
    await refused(good.text(), "certificate", ca=None)
    await refused(good.text(), "certificate", where=url.replace("127.0.0.1", "localhost"))
    with EmbeddedStack(tmp_path / "plain", keys=None) as plain:
        await refused(None, "TLS", where=plain.nats_url)
        await refused(None, "TLS", where=plain.nats_url.replace("nats://", "tls://"), ca=None)
        client = await connect(plain.nats_url, "test", access=Access())
        await client.close()


async def test_without_tls_nothing_is_answered(place: Served) -> None:
    host, port = place.stack.nats_url.rpartition("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    assert b'"tls_required":true' in await reader.readline()
    writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
    answer = await asyncio.wait_for(reader.read(1000), 10)
    writer.close()
    assert b"PONG" not in answer
    context = ssl.create_default_context(cafile=place.settings.nats_ca)
    assert context.verify_mode is ssl.CERT_REQUIRED


async def test_a_vertex_whose_credentials_expire_goes_on_with_new_ones(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    with served(tmp_path, keys, THALWEG_VERTEX_CREDENTIALS_S="12") as place:
        async with place.tidied_session() as session:
            found = await deploy(session, {"door": DOOR, "double": DOUBLE, "show": SHOW}, "door.out -> double.in", "double.out -> show.in")
            await until_running(session, found)
            access = Access(None, keys.issuer("default").for_vertex(found, "double", 3, has_outlet=False).text(), place.settings.nats_ca)
            client = await connect(place.stack.nats_url, "test", access=access)
            sent = 0

            async def is_through_after_restarts() -> bool:
                nonlocal sent
                await session.client.request(subjects.inlet("default", found, "door"), msgpack.packb({"n": sent, "x": 0.5}), timeout=10)
                sent += 1
                now = await vertices_of(session, found)
                return all(one.restarts > 0 for one in now.values()) and now["show"].records_out > sent - 5

            await until(is_through_after_restarts)
            with pytest.raises(ShutOutError, match="expired"):
                raise_if_ended(client)
            await client.close()

            async def is_all_out() -> bool:
                return (await vertices_of(session, found))["show"].records_out == sent

            await until(is_all_out)
            outlet = subjects.outlet("default", found, "show")
            assert await stored(session, subjects.stream("default", found), outlet) == sent


async def test_keys_and_tokens_are_nowhere_but_in_their_files(place: Served, session: Session, name: str, keys: KeyFolder) -> None:
    text = await credentials_of(session, name, "double")
    assert SEED.search(text.encode()) and TOKEN.search(text.encode())  # what is looked for is what there is
    folder = place.settings.data
    for vertex in ("door", "double", "show"):
        process = process_of(folder / "vertices" / name / f"{vertex}.json")
        assert process is not None
        said = "\n".join([*process.cmdline(), *(f"{one}={value}" for one, value in process.environ().items())]).encode()
        assert not SEED.search(said) and not TOKEN.search(said)
        assert not {"THALWEG_NATS_CREDS", "THALWEG_NATS_ISSUER"} & {*process.environ()}
    coordinators = [one for one in psutil.process_iter() if _is_coordinator(one, folder)]
    assert coordinators
    for process in coordinators:
        said = "\n".join([*process.cmdline(), *process.environ().values()]).encode()
        assert not SEED.search(said) and not TOKEN.search(said)
    logs = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in (".log", ".json", ".conf") and keys.folder not in path.parents
    ]
    assert any(path.name == "double.log" for path in logs)
    for path in logs:
        assert not SEED.search(path.read_bytes()) and not TOKEN.search(path.read_bytes()), path


def _is_coordinator(process: psutil.Process, folder: Path) -> bool:
    try:
        return "thalweg_coordinator" in process.cmdline() and process.environ().get("THALWEG_DATA") == str(folder)
    except psutil.Error:
        return False


async def test_revoked_credentials_are_no_good_once_the_server_has_reloaded(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    with EmbeddedStack(tmp_path, keys=keys) as stack:
        before = keys.issuer("default").for_vertex("d", "v", None, has_outlet=False)
        gateway = keys.credentials("default", "gateway").read_text()
        place = Served(Settings(nats_ca=keys.folder / "ca.pem"), stack=stack)
        wanted: list[AccountName] = ["vertices"]
        async with let_in(place, before) as client:
            made = await asyncio.to_thread(keys.revoke, "default", wanted)
            assert [path.name for path in made] == ["gateway.creds"]
            pid = stack.processes[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGHUP)
            await asyncio.wait_for(_until_ended(client), 30)
        for text in (before.text(), gateway):
            with pytest.raises(UnreachableError, match="uthorization"):
                await connect(stack.nats_url, "test", access=Access(None, text, keys.folder / "ca.pem"))
        async with let_in(place, keys.issuer("default").for_vertex("d", "v", None, has_outlet=False)):
            pass
        async with let_in(place, keys.credentials("default", "client").read_text()):
            pass


async def _until_ended(client: Client) -> None:
    while client.is_connected:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
