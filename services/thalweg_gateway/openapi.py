"""What the OpenAPI document says of the routes: bodies, answers, errors, how callers prove that they may."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from thalweg_gateway.refusals import STATUS_BY_CODE
from thalweg_gateway.showing import CONTENT_TYPES

VERSION = "1.0.0"
_ID = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
_ERROR = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "string", "description": "callers branch on this", "examples": sorted(STATUS_BY_CODE)},
        "message": {"type": "string"},
        "hint": {"type": "string", "description": "what would help"},
        "path": {"type": "string", "description": "where in a record the misfit is, as in $.n"},
        "reason": {"type": "string"},
        "index": {"type": "integer", "description": "which of several records"},
        "vertex": {"type": "string", "description": "which vertex has failed"},
        "ids": {"type": "array", "items": _ID, "description": "of the first records, which are stored"},
    },
}
SCHEMAS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": _ERROR, "id": _ID, "ids": {"type": "array", "items": _ID}},
    },
    "Stored": {
        "oneOf": [
            {"type": "object", "required": ["id"], "properties": {"id": _ID}},
            {"type": "object", "required": ["ids"], "properties": {"ids": {"type": "array", "items": _ID}}},
        ]
    },
    "Record": {"description": "of the type that the endpoint's vertex declares; `thalweg endpoint show` says which"},
}
SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a token of the endpoint: `thalweg endpoint rotate`"},
    "query": {"type": "apiKey", "in": "query", "name": "token", "description": "where headers cannot be set"},
}
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"query": []}]
_RECORD, _STORED, _FAULT = ({"$ref": f"#/components/schemas/{name}"} for name in ("Record", "Stored", "Error"))
_BYTES = {"type": "string", "format": "binary"}
_BODIES = {
    "application/json": {"schema": {"anyOf": [_RECORD, {"type": "array", "items": _RECORD}]}},
    "application/x-ndjson": {"schema": {"type": "string", "description": "a record a line"}},
    "application/msgpack": {"schema": _BYTES},
    "image/jpeg": {"schema": _BYTES},
    "image/png": {"schema": _BYTES},
    "audio/wav": {"schema": _BYTES},
    "audio/pcm": {"schema": _BYTES},
    "audio/L16": {"schema": _BYTES},
    "multipart/form-data": {"schema": {"type": "object", "description": "of a record, each part is a field; else each is a record"}},
    "text/plain": {"schema": {"type": "string"}},
    "application/octet-stream": {"schema": _BYTES},
}
_SHOWN = {kind: {"schema": _RECORD if kind == "application/json" else _BYTES} for kind in CONTENT_TYPES.values()}
_HEADERS = {"Location": "where to ask for the answer", "Tw-Id": "id of the (first) record"}
_MEANING = {
    400: "the body cannot be read, or a parameter is not valid",
    401: "no valid token of this endpoint",
    404: "there is no such endpoint in the deployment, or no such record",
    405: "wrong side: records only go in here, or only come out",
    408: "the body has taken too long",
    409: "which output endpoint is to answer?",
    410: "what came of it is not kept any more",
    413: "the body is too large",
    415: "unknown content type or encoding",
    422: "a record is not of the type",
    429: "too many records for the token, or the graph is behind",
    502: "a vertex has failed on the record, or the log has refused it",
    503: "not deployed now, or no server answers",
    504: "the answer has not come yet",
    507: "more records than one answer holds",
}
_ASKED = (400, 401, 404, 405, 409, 410, 502, 503, 504, 507)


def to_post() -> dict[str, Any]:
    """Of a route that records are sent to."""
    parameters = [*_waiting(), _header("Idempotency-Key", "makes a repeated request harmless for two minutes", "^[!-~]{1,200}$")]
    stored = {
        "description": "all records are stored",
        "headers": _headers("Location"),
        "content": {"application/json": {"schema": _STORED}},
    }
    return {
        "status_code": 202,
        "responses": {202: stored, **_answers(), **_errors(*_ASKED, 408, 413, 415, 422, 429)},
        "openapi_extra": {
            "security": _SECURITY,
            "parameters": parameters,
            "requestBody": {"required": True, "content": _BODIES},
            "description": "Takes one record or several. A WebSocket on the same URL takes a body a message.",
        },
    }


def to_ask() -> dict[str, Any]:
    """Of the route that says what came of a record."""
    return {"responses": {**_answers(), **_errors(*_ASKED)}, "openapi_extra": {"security": _SECURITY, "parameters": _waiting()}}


def to_read() -> dict[str, Any]:
    """Of a route that records come from."""
    parameters = [
        _query("format", "form of the record", {"enum": list(CONTENT_TYPES)}),
        _query("from", "where events begin: now, start, or a sequence of the log", {"pattern": r"^(now|start|\d{1,18})$"}),
        _header("Last-Event-ID", "where an event stream was", r"^\d{1,18}\.\d{1,18}$"),
    ]
    names = _headers("Tw-Sequence", "Tw-Number", "Tw-Id", "Tw-Root", "Tw-Time")
    events = {"text/event-stream": {"schema": {"type": "string", "description": "JSON; the last event is `end`, with code and reason"}}}
    return {
        "responses": {
            200: {"description": "the newest record, or events", "headers": names, "content": {**_SHOWN, **events}},
            204: {"description": "no record has come out yet"},
            **_errors(400, 401, 404, 405, 429, 503),
        },
        "openapi_extra": {
            "security": _SECURITY,
            "parameters": parameters,
            "description": "The newest record, or server-sent events. A WebSocket on the same URL gets a message a record.",
        },
    }


class Described(FastAPI):
    """An application that says in its document how callers prove that they may, and the forms that errors have."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document."""
        if self.openapi_schema is None:
            document = get_openapi(title=self.title, version=VERSION, routes=self.routes, description=self.description)
            components = document.setdefault("components", {})
            components["schemas"] = SCHEMAS
            components["securitySchemes"] = SECURITY_SCHEMES
            self.openapi_schema = document
        return self.openapi_schema


def _answers() -> dict[int | str, Any]:
    content = {**_SHOWN, "application/json": {"schema": {"anyOf": [_RECORD, {"type": "array", "items": _RECORD}]}}}
    return {
        200: {"description": "what the graph made of it", "headers": _headers(*_HEADERS), "content": content},
        204: {"description": "the graph made nothing of it", "headers": _headers(*_HEADERS)},
    }


def _errors(*statuses: int) -> dict[int | str, Any]:
    """Each with the same body; `default` as well, so that FastAPI adds none of its own."""
    content = {"application/json": {"schema": _FAULT}}
    found: dict[int | str, Any] = {one: {"description": _MEANING[one], "content": content} for one in sorted(statuses)}
    for one, name in ((401, "WWW-Authenticate"), (429, "Retry-After"), (503, "Retry-After"), (504, "Location")):
        if one in found:
            found[one] = {**found[one], "headers": _headers(name)}
    return found | {"default": {"description": "any other error", "content": content}}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"schema": {"type": "string"}, "description": _HEADERS.get(name, name)} for name in names}


def _waiting() -> list[dict[str, Any]]:
    return [
        _query("wait", "wait so long for the answer, up to 60 s, as in 5s", {"pattern": r"^\d{1,6}(\.\d{1,6})?(ms|s)?$"}),
        _query("answer", "which output endpoint's vertex is to answer, where there are several", {}),
    ]


def _query(name: str, what: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": what, "schema": {"type": "string", **schema}}


def _header(name: str, what: str, pattern: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": what, "schema": {"type": "string", "pattern": pattern}}
