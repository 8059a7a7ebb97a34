"""What callers are told when something is refused: a status for each error code, and the same form everywhere."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from thalweg.errors import RejectedError, ThalwegError, UnreachableError

REFUSED_TOKEN = {"error": {"code": "token.refused", "message": "there is no valid token for this endpoint in the request"}}
STATUS_BY_CODE = {
    "body.unreadable": 400,
    "request.invalid": 400,
    "token.refused": 401,
    "endpoint.unknown": 404,
    "record.unknown": 404,
    "endpoint.wrong_side": 405,
    "body.late": 408,
    "answer.none": 409,
    "answer.trimmed": 410,
    "body.too_large": 413,
    "body.type_unknown": 415,
    "record.misfit": 422,
    "endpoint.full": 429,
    "rate.exceeded": 429,
    "endpoint.refused": 502,
    "graph.failed": 502,
    "deployment.not_running": 503,
    "answer.late": 504,
    "answer.too_large": 507,
}
RETRY_AFTER_S = {429: 1, 503: 2}


class RequestError(RejectedError):
    """A request that cannot be served as it is; `code` says what becomes of it.

    Args:
        message: what is wrong.
        code: of `STATUS_BY_CODE`.
        hint: what would help.
        facts: told to the caller too.
    """


def status_of(error: ThalwegError) -> int:
    """The HTTP status of an error."""
    return STATUS_BY_CODE.get(error.code, 503 if isinstance(error, UnreachableError) else 500)


def told(error: ThalwegError) -> dict[str, Any]:
    """An error as callers read it."""
    facts = {name: value for name, value in error.facts.items() if name != "retry_after_s"}
    return {"code": error.code, "message": str(error), **({"hint": error.hint} if error.hint else {}), **facts}


def refusal(error: ThalwegError, **more: Any) -> Response:
    """The response to a request that is refused."""
    status = status_of(error)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in RETRY_AFTER_S:
        headers["Retry-After"] = str(error.facts.get("retry_after_s", RETRY_AFTER_S[status]))
    return JSONResponse({"error": told(error), **more}, status, headers)
