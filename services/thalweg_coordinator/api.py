"""Answers the calls of the API: decodes, hands to a handler, encodes what it returns or raises."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from thalweg.api.calls import Call
from thalweg.bus.micro import Answer
from thalweg.errors import ThalwegError

_log = logging.getLogger("thalweg.coordinator")
Handler = Callable[[Any], Awaitable[Any]]


def answers(handlers: dict[Call[Any, Any], Handler]) -> dict[tuple[str, str], Answer]:
    """What `thalweg.bus.micro.serve` needs: an answer by resource and verb."""
    return {(call.resource, call.verb): _answer(call, handler) for call, handler in handlers.items()}


def _answer(call: Call[Any, Any], handler: Handler) -> Answer:
    async def answer(body: bytes) -> bytes:
        try:
            return call.encode_reply(await handler(call.decode_request(body)))
        except ThalwegError as error:
            return call.encode_reply(error)
        except Exception as error:  # whatever it is: the next call is answered
            _log.exception("%s.%s", call.resource, call.verb)
            return call.encode_reply(ThalwegError(f"{call.resource}.{call.verb}: {type(error).__name__}", code="internal"))

    return answer
