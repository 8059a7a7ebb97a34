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
OnAnswer = Callable[[str, str, ThalwegError | None], None]


def answers(handlers: dict[Call[Any, Any], Handler], on_answer: OnAnswer = lambda *_: None) -> dict[tuple[str, str], Answer]:
    """What `thalweg.bus.micro.serve` needs: an answer by resource and verb.

    Args:
        handlers: by call.
        on_answer: called with resource, verb and the error that was answered, None for none.
    """
    return {(call.resource, call.verb): _answer(call, handler, on_answer) for call, handler in handlers.items()}


def _answer(call: Call[Any, Any], handler: Handler, on_answer: OnAnswer) -> Answer:
    async def answer(body: bytes) -> bytes:
        try:
            reply = call.encode_reply(await handler(call.decode_request(body)))
            on_answer(call.resource, call.verb, None)
            return reply
        except ThalwegError as error:
            on_answer(call.resource, call.verb, error)
            return call.encode_reply(error)
        except Exception as error:  # whatever it is: the next call is answered
            _log.exception("%s.%s", call.resource, call.verb)
            said = ThalwegError(f"{call.resource}.{call.verb}: {type(error).__name__}", code="internal")
            on_answer(call.resource, call.verb, said)
            return call.encode_reply(said)

    return answer
