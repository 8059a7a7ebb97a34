"""JetStream's API: one call of it, and making a stream."""

from __future__ import annotations

import asyncio
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from thalweg.bus import errors
from thalweg.bus.connection import request_json, unanswered
from thalweg.errors import RejectedError


async def call(client: Client, operation: str, body: dict[str, Any], deadline_s: float = 30.0) -> dict[str, Any]:
    """A JetStream API call, repeated while the server is away. Raises UnreachableError after `deadline_s`, or when it is not allowed."""
    end = asyncio.get_running_loop().time() + deadline_s
    while True:
        try:
            return await request_json(client, f"$JS.API.{operation}", body)
        except (NatsError, OSError, TimeoutError) as error:
            told = unanswered(client, f"$JS.API.{operation}", error, "JetStream")
            if told.code == "nats.refused" or asyncio.get_running_loop().time() > end:
                raise told from error
            await asyncio.sleep(0.1)


async def create_stream(client: Client, config: dict[str, Any]) -> None:
    """Makes a stream where there is none of that name. Raises RejectedError (`log.refused`) when the server does not make it."""
    answer = await call(client, f"STREAM.CREATE.{config['name']}", config)
    if "error" in answer and answer["error"].get("err_code") != errors.STREAM_NAME_IN_USE:
        raise RejectedError(f"stream {config['name']} cannot be made: {answer['error'].get('description')}", code="log.refused")
