"""The AsyncAPI 3 document of a deployment: every subject that may be published to or subscribed to, with the schema of its values."""

from __future__ import annotations

from typing import Any

from thalweg.graph.json_schema import DIALECT, json_schema
from thalweg.graph.parse import parse_type
from thalweg.wire import subjects
from thalweg.wire.boundary import ID_HEADER, NUMBER_HEADER, ROOT_HEADER, TIME_HEADER
from thalweg.wire.spec import DeploymentSpec, VertexSpec

VERSION = "3.0.0"
MSGPACK = "application/msgpack"
_INT64: dict[str, Any] = {"type": "integer"}
_LEAVING: dict[str, Any] = {
    "type": "object",
    "properties": {
        NUMBER_HEADER: {"type": "string", "pattern": "^[0-9]+$", "description": "of the record on this endpoint, from 1"},
        ID_HEADER: {"type": "string", "pattern": "^[0-9a-f]{16}$", "description": "of the record"},
        ROOT_HEADER: {"type": "string", "pattern": "^[0-9a-f]{16}$", "description": "of the record from outside that it comes from"},
        TIME_HEADER: {"type": "string", "pattern": "^-?[0-9]+$", "description": "event time, UTC ns"},
    },
    "required": [NUMBER_HEADER, ID_HEADER, ROOT_HEADER, TIME_HEADER],
}
_INT64S: dict[str, Any] = {"type": "array", "items": _INT64}


def asyncapi(spec: DeploymentSpec, host: str) -> dict[str, Any]:
    """The document.

    Input endpoints are received by the deployment, output endpoints and the ports within it are sent. Values at endpoints are bare;
    on ports they travel in batches, and large batches in several messages.

    Args:
        spec: what runs.
        host: of the NATS server, `host:port`.
    """
    document = _Document(spec)
    for vertex in spec.vertices:
        document.add(vertex)
    return {
        "asyncapi": VERSION,
        "info": {
            "title": spec.name,
            "version": f"{spec.revision}.{spec.generation}.0",
            "description": f"Backend {spec.backend} at revision {spec.revision}, generation {spec.generation}. Values are msgpack; "
            "`x-msgpack` marks what JSON has no type for: `bin` is bytes, `timestamp` the timestamp extension.",
        },
        "defaultContentType": MSGPACK,
        "servers": {"nats": {"host": host, "protocol": "nats"}},
        "channels": document.channels,
        "operations": document.operations,
        "components": {"messages": document.messages},
    }


class _Document:
    def __init__(self, spec: DeploymentSpec) -> None:
        self._place = spec.workspace, spec.name
        self.channels: dict[str, Any] = {}
        self.operations: dict[str, Any] = {}
        self.messages: dict[str, Any] = {}

    def add(self, vertex: VertexSpec) -> None:
        for port, kind in vertex.outputs.items():
            if vertex.endpoint == "out" and port == subjects.OUT_ENDPOINT:
                self._channel(
                    f"{vertex.name}-{port}",
                    subjects.outlet(*self._place, vertex.name),
                    "send",
                    _value(kind) | {"headers": _LEAVING},
                    vertex,
                )
                continue
            if vertex.endpoint == "in" and port == "out":
                self._channel(f"{vertex.name}-in", subjects.inlet(*self._place, vertex.name), "receive", _value(kind), vertex)
            self._channel(f"{vertex.name}-{port}", subjects.port(*self._place, vertex.name, port), "send", _batch(kind), vertex)

    def _channel(self, name: str, address: str, action: str, message: dict[str, Any], vertex: VertexSpec) -> None:
        self.messages[name] = {"name": name, **message}
        self.channels[name] = {
            "address": address,
            "description": f"{vertex.name} ({vertex.component})",
            "messages": {"value": {"$ref": f"#/components/messages/{name}"}},
        }
        self.operations[name] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": [{"$ref": f"#/channels/{name}/messages/value"}],
        }


def _value(kind: str) -> dict[str, Any]:
    return _message(f"one value: {kind}", json_schema(parse_type(kind)))


def _batch(kind: str) -> dict[str, Any]:
    numbers = {"anyOf": [_INT64, _INT64S]}
    properties = {
        "v": {"type": "array", "items": json_schema(parse_type(kind)), "description": "values"},
        "t": {**_INT64S, "description": "event times, UTC ns"},
        "k": {**numbers, "description": "record ids: a list, or the first where they count up"},
        "w": {**numbers, "description": "progress times, or the one before the first record"},
        "s": {"description": "state of the writer"},
        "r": {
            **_INT64S,
            "description": "ids of the records from outside that they come from, 0 for none; absent: their own",
        },
    }
    return _message(f"a batch of {kind}", {"type": "object", "properties": properties, "required": ["v", "t", "k"]})


def _message(summary: str, schema: dict[str, Any]) -> dict[str, Any]:
    payload = {"schemaFormat": "application/schema+json;version=2020-12", "schema": {"$schema": DIALECT, **schema}}
    return {"summary": summary, "contentType": MSGPACK, "payload": payload}
