"""A call of the API: where it is asked, what goes in, what comes back; requests and replies as msgpack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from thalweg.errors import RejectedError, ThalwegError, error_of
from thalweg.graph.fields import Strict
from thalweg.graph.pipeline import fault_lines


class Nothing(Strict):
    """A request or reply that says no more."""


Q = TypeVar("Q", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)
MAX_BYTES = 4 << 20
_pack, _unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, R]):
    """One endpoint: `tw.<workspace>.api.<resource>.<verb>`."""

    resource: str
    verb: str
    request: type[Q]
    reply: type[R]

    def encode_request(self, request: Q) -> bytes:
        """Body of a request.

        Raises:
            RejectedError: `request.too_large`.
        """
        body = _pack(request.model_dump(mode="json"))
        if len(body) > MAX_BYTES:
            raise RejectedError(f"the request has {len(body):,} bytes; {MAX_BYTES:,} are allowed", code="request.too_large")
        return body

    def decode_request(self, body: bytes) -> Q:
        """The request in a body that anyone may have sent.

        Raises:
            RejectedError: `request.too_large`, `request.unreadable` or `request.invalid`, with every fault by its path.
        """
        if len(body) > MAX_BYTES:
            raise RejectedError(f"the request has {len(body):,} bytes; {MAX_BYTES:,} are allowed", code="request.too_large")
        try:
            content = _unpack(body)
        except (msgspec.DecodeError, RecursionError, ValueError, TypeError) as error:
            raise RejectedError(f"the request is not msgpack: {error}", code="request.unreadable") from error
        try:
            return self.request.model_validate(content)
        except (ValidationError, RecursionError) as error:
            lines = fault_lines(error, self.request) if isinstance(error, ValidationError) else ["is nested too deep"]
            raise RejectedError("\n".join(f"{self.resource}.{self.verb}: {line}" for line in lines), code="request.invalid") from error

    def encode_reply(self, reply: R | ThalwegError) -> bytes:
        """Body of a reply: `{"ok": …}`, or `{"error": {…}}`."""
        if isinstance(reply, ThalwegError):
            facts = {name: value for name, value in reply.facts.items() if _is_plain(value)}
            error = {"message": str(reply), "code": reply.code, "hint": reply.hint, "exit_code": reply.exit_code, "facts": facts}
            return _pack({"error": error})
        return _pack({"ok": reply.model_dump(mode="json")})

    def decode_reply(self, body: bytes) -> R:
        """The reply in a body; raises the error that it holds."""
        content = _unpack(body)
        if "error" in content:
            told = content["error"]
            raise error_of(told["exit_code"], told["message"], told["code"], told["hint"], told["facts"])
        return self.reply.model_validate(content["ok"])


def _is_plain(value: Any) -> bool:
    try:
        _pack(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True
