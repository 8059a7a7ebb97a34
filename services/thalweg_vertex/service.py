"""Builds the engine of a vertex from its stored spec, runs it on the deployment log, says how it ended."""

from __future__ import annotations

import asyncio
import gc
import logging
import shutil
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from thalweg.access.access import Access
from thalweg.bus.alive import alive, say_ended
from thalweg.bus.connection import Client, NatsError, connect_as
from thalweg.bus.deployments import own_deployment
from thalweg.bus.retiring import read_takeover
from thalweg.bus.vertex_log import VertexLog
from thalweg.errors import STOPPED_EXIT_CODE, RejectedError, RunFailedError, ThalwegError, UsageError
from thalweg.graph.parse import parse_type
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Limits
from thalweg.runtime.loop import VertexLoop, refuse
from thalweg.runtime.snapshots import EVERY_MESSAGES
from thalweg.runtime.spool import Spool
from thalweg.runtime.tasks import end_tasks
from thalweg.settings import Settings
from thalweg.wire.commit import Failure
from thalweg.wire.spec import DeploymentSpec, VertexSpec
from thalweg_vertex.files import fetch_files, fetch_order, opening_of, upload_generated
from thalweg_vertex.kept import obey, until_deployed, until_replaced, vertex_of
from thalweg_vertex.logs import Logs
from thalweg_vertex.output import Output
from thalweg_vertex.presence import BeforeLeaving, run_while_wanted
from thalweg_vertex.releases import ElsewhereError, load_pinned, prepare
from thalweg_vertex.secrets import take_secrets

# A batch of records is thousands of new objects without cycles: collecting at Python's own pace cost a quarter of a vertex's time.
GC_THRESHOLD = (200_000, 10, 10)
ASK_TIMEOUT_S = 1.0
RELEASED_AT_ONCE = 256  # records that leave the graph are messages each, and JetStream takes 1,000 in one atomic batch
ENDED_CODES = (0, 4)  # it has ended, or failed; both are on the log, and another copy would find the same
OWNER_TIMEOUT_S = 40.0  # longer than the server is waited for
_log = logging.getLogger("thalweg.vertex")


@dataclass(frozen=True, slots=True)
class Terms:
    """How the process is started.

    Attributes:
        secrets: folder with a file for each slot; None where they come by standard input.
        kept: something starts it again whenever it ends, and knows nothing of its deployment.
    """

    secrets: Path | None = None
    kept: bool = False


async def serve(settings: Settings, access: Access, deployment: str, vertex: str, logs: Logs, terms: Terms) -> int:
    """Runs one vertex until its inputs end; returns the process's exit code.

    Args:
        settings: where the servers are.
        access: by which NATS lets it in.
        deployment, vertex: which.
        terms: how it is started.
        logs: what is logged in this process; it is sent before this returns, unless that takes long.

    Raises:
        ElsewhereError: it is to be run by another interpreter, in place of this one.
        UsageError, UnreachableError: there is no server, so that nothing can be sent either.
    """
    client = await connect_as(settings, f"{deployment}/{vertex}", access)
    sending = asyncio.create_task(logs.run(client, settings))

    async def send_the_last() -> None:
        await end_tasks(sending)
        await logs.send_rest(client, settings)

    try:
        async with alive(settings.alive_file, client):
            if terms.kept:
                await until_deployed(client, settings.workspace, deployment, vertex)
            return await _serve(settings, client, deployment, vertex, logs, terms, send_the_last)
    except ElsewhereError:
        raise
    except ThalwegError as error:
        _log.error("%s", error)
        return error.exit_code
    except Exception:
        _log.exception("ended by a fault of its own")
        return 1
    finally:
        await send_the_last()
        await client.close()


async def _serve(
    settings: Settings, client: Client, deployment: str, vertex: str, logs: Logs, terms: Terms, before_leaving: BeforeLeaving
) -> int:
    spec = await own_deployment(client, settings.workspace, deployment)
    mine = vertex_of(spec, vertex)
    if mine is None:
        raise RejectedError(f"deployment {deployment} has no vertex {vertex}", code="vertex.unknown")
    logs.generation = mine.generation
    working = run_while_wanted(client, spec, _run_in_place(settings, client, spec, mine, logs, terms.secrets), before_leaving)
    if not terms.kept:
        return await working
    obeying = asyncio.create_task(obey(client, spec, mine))
    try:
        code = await working
    finally:
        await end_tasks(obeying)
    if code not in ENDED_CODES:
        return code
    say_ended(settings.alive_file)
    return await until_replaced(client, spec, mine, code)


async def _run_in_place(
    settings: Settings, client: Client, spec: DeploymentSpec, mine: VertexSpec, logs: Logs, secrets_folder: Path | None
) -> int:
    """Runs it in the environment that its release needs; nothing is taken from the launcher before, since this process may be replaced."""
    if mine.retired:
        _log.info("was retired in generation %d: others work in its place", mine.retired)
        return 0
    try:
        folder = await asyncio.to_thread(prepare, settings, mine)
    except (RejectedError, RunFailedError, UsageError) as error:
        return await _refuse(client, spec, mine, error)
    output = Output(logs.line)
    try:
        return await _run(settings, client, spec, mine, folder, logs, output, secrets_folder)
    finally:
        output.finish()


async def _refuse(client: Client, spec: DeploymentSpec, mine: VertexSpec, error: ThalwegError) -> int:
    _log.error("%s", error)
    log = VertexLog(client, spec.workspace, spec.name, mine.name, [], in_arrival_order=False)
    await refuse(log, Failure(str(error), error.code, error.hint), mine.generation)
    return 4


async def _run(
    settings: Settings,
    client: Client,
    spec: DeploymentSpec,
    mine: VertexSpec,
    folder: Path | None,
    logs: Logs,
    output: Output,
    secrets_folder: Path | None,
) -> int:
    scratch = settings.data / "scratch" / spec.name / mine.name
    release = None
    try:
        release = load_pinned(mine, folder)
        if release.manifest.digest != mine.digest:
            raise RejectedError(
                f"{mine.component} is pinned as {mine.digest}, but the code here is {release.manifest.digest}",
                code="release.digest_mismatch",
            )
        files = await asyncio.to_thread(fetch_files, settings, mine, spec.lease)
        order = await asyncio.to_thread(fetch_order, settings, mine, release, spec.lease)
        opening = opening_of(mine, files)
        takeover = await read_takeover(client, spec, mine)
    except (RejectedError, RunFailedError, UsageError) as error:
        return await _refuse(client, spec, mine, error)
    secrets = take_secrets(mine, secrets_folder)  # not earlier: a process that becomes another one would have emptied the pipe
    redactor = output.hide(secrets)
    logs.redact = redactor.text if redactor is not None else logs.redact
    by_arrival = release.component.combine == "arrival" and order is None
    log = VertexLog(client, spec.workspace, spec.name, mine.name, mine.inputs, by_arrival, endpoint=mine.endpoint, traced=spec.is_traced)
    generated = _fresh(scratch / "generated", mine)
    snapshot_messages = min(EVERY_MESSAGES, spec.max_messages_per_subject // 4)
    records = min(spec.batch_records, _released_at_once(spec)) if mine.endpoint == "out" else spec.batch_records
    limits = Limits(records, spec.batch_bytes, snapshot_messages=snapshot_messages)
    engine = assemble(
        mine,
        release,
        files,
        generated,
        limits,
        parse_type,
        secrets,
        redactor,
        traced=spec.is_traced,
        run=spec.run,
        opening=opening,
        order=order,
    )
    logs.engine = engine
    spool = Spool(scratch / "spool") if generated else None
    owner = partial(_owner_now, client, spec, asyncio.get_running_loop())
    upload = partial(upload_generated, settings, mine, generated, scratch / "generated", owner) if generated else None
    loop = VertexLoop(engine, log, spool, upload, mine.generation, mine.rewind, mine.fresh_since, takeover)
    if spec.desired == "draining":
        loop.drain()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    asked = set[asyncio.Task[None]]()
    on_signal = partial(_on_sigterm, client, spec, mine, loop, asked)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, on_signal)
    try:
        await loop.run()
    except RunFailedError as error:
        if error.code != "log.trimmed":
            raise
        return await _refuse(client, spec, mine, error)
    if engine.failure is not None:
        _log.error("%s", engine.failure.message, exc_info=engine.raised)
        return 4
    if not engine.ended:
        _log.info("stopped on request")
        return STOPPED_EXIT_CODE
    _log.info(
        "ended: %d in, %d out; %d recovered replies, %d waits for room, %d new consumers",
        engine.standing.counters.records_in,
        engine.standing.counters.records_out,
        log.writer.recovered_count,
        log.writer.blocked_count,
        sum(reader.reopened_count for reader in log.readers),
    )
    return 0


def _released_at_once(spec: DeploymentSpec) -> int:
    """Records in one commit of an output endpoint; they must find room in its subject as soon as that is trimmed."""
    return max(1, min(RELEASED_AT_ONCE, spec.max_messages_per_subject // 4))


def _owner_now(client: Client, spec: DeploymentSpec, loop: asyncio.AbstractEventLoop) -> str:
    """The lease that owns the deployment now; for other threads than the loop's. Blocking."""
    try:
        return asyncio.run_coroutine_threadsafe(own_deployment(client, spec.workspace, spec.name), loop).result(OWNER_TIMEOUT_S).lease
    except RejectedError:
        return spec.lease  # it is gone: nobody will look for what is stored


def _on_sigterm(client: Client, spec: DeploymentSpec, mine: VertexSpec, loop: VertexLoop, asked: set[asyncio.Task[None]]) -> None:
    """Stops the vertex; a source of a deployment that is to drain ends instead, so that all behind it can finish."""
    if mine.inputs or asked:
        loop.stop()
        return
    asked.add(asyncio.create_task(_drain_or_stop(client, spec, loop)))


async def _drain_or_stop(client: Client, spec: DeploymentSpec, loop: VertexLoop) -> None:
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            now = await own_deployment(client, spec.workspace, spec.name)
    except (ThalwegError, NatsError, OSError, TimeoutError):
        loop.stop()  # its next copy finds out
        return
    if now.desired == "draining":
        loop.drain()
    else:
        loop.stop()


def _fresh(folder: Path, mine: VertexSpec) -> dict[str, Path]:
    """Paths to write generated files to; whatever an earlier copy of the vertex left there is removed."""
    if not mine.generated:
        return {}
    shutil.rmtree(folder, ignore_errors=True)
    paths = {slot: folder / slot / name for slot, name in mine.generated.items()}
    for path in paths.values():
        path.parent.mkdir(parents=True)
    return paths
