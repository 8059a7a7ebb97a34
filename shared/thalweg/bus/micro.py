"""The coordinator's API as a NATS micro service (ADR-32): any NATS tool finds it, and sees its counts and errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import nats.micro
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.micro.request import Request
from pydantic import BaseModel

from thalweg.api.calls import Call
from thalweg.bus.connection import unanswered
from thalweg.errors import ThalwegError, UnreachableError
from thalweg.wire import subjects

Q = TypeVar("Q", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)
Answer = Callable[[bytes], Awaitable[bytes]]
SERVICE = "thalweg-coordinator"
CALL_TIMEOUT_S = 30.0


async def serve(client: Client, workspace: str, version: str, answers: dict[tuple[str, str], Answer]) -> None:
    """Answers calls for as long as the connection lives; several copies share the work.

    Args:
        client: NATS connection.
        workspace: whose API.
        version: of the service, as its info says.
        answers: by (resource, verb): makes the body of the reply; never raises.
    """
    service = await nats.micro.add_service(client, name=SERVICE, version=version, description=f"API of workspace {workspace}")
    for (resource, verb), answer in answers.items():

        async def handle(request: Request, answer: Answer = answer) -> None:
            await request.respond(await answer(request.data))

        await service.add_endpoint(name=f"{resource}-{verb}", subject=subjects.api(workspace, resource, verb), handler=handle)


async def ask(client: Client, workspace: str, call: Call[Q, R], request: Q, timeout_s: float = CALL_TIMEOUT_S) -> R:
    """Asks a coordinator.

    Raises:
        ThalwegError: what the coordinator answered.
        UnreachableError: `coordinator.silent`, when none answers in time; whether the request was carried out is not known then.
            `nats.refused`, when the credentials do not allow it.
    """
    subject = subjects.api(workspace, call.resource, call.verb)
    try:
        reply = await client.request(subject, call.encode_request(request), timeout=timeout_s)
    except NoRespondersError:
        raise _silent("no coordinator runs") from None
    except (NatsError, TimeoutError) as error:
        told = unanswered(client, subject, error, "the coordinator")
        raise told if told.code == "nats.refused" else _silent(str(told)) from error
    return call.decode_reply(reply.data)


def _silent(what: str) -> ThalwegError:
    return UnreachableError(what, code="coordinator.silent", hint="`thalweg up` starts one; THALWEG_NATS_URL says where to look")
