"""The AsyncAPI document of a deployment, against the official schema of AsyncAPI documents, which comes from npm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from integration.npm import install
from thalweg.wire.asyncapi import asyncapi
from thalweg.wire.spec import DeploymentSpec, VertexSpec


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The schema of AsyncAPI 3.0.0."""
    packages = install(tmp_path_factory.mktemp("npm"), "@asyncapi/specs@6.11.1")
    found: dict[str, Any] = json.loads((packages / "@asyncapi/specs/schemas/3.0.0.json").read_text())
    return found


def test_the_document_of_a_deployment_is_valid(official: dict[str, Any]) -> None:
    vertices = [
        VertexSpec("door", "http-in@1.0.0", "", "", "source", outputs={"out": "record{a: int, b: timestamp?}"}, endpoint="in"),
        VertexSpec("work", "work@1.0.0", "", "", "processor", outputs={"out": "list[image<jpeg>]", "more": "tuple[int, str]"}),
        VertexSpec("show", "http-out@1.0.0", "", "", "sink", outputs={"out": "audio<16000,1>"}, endpoint="out"),
    ]
    document = asyncapi(DeploymentSpec("default", "live", "backend", vertices, revision=7, generation=2), "127.0.0.1:4222")
    assert not [f"{list(error.path)}: {error.message}" for error in Draft7Validator(official).iter_errors(document)]
    actions = {document["channels"][name]["address"]: one["action"] for name, one in document["operations"].items()}
    assert actions == {
        "tw.default.live.in.door.in": "receive",
        "tw.default.live.v.door.out.0": "send",
        "tw.default.live.v.work.out.0": "send",
        "tw.default.live.v.work.more.0": "send",
        "tw.default.live.out.show.out": "send",
    }
    schemas = [message["payload"]["schema"] for message in document["components"]["messages"].values()]
    for schema in schemas:
        Draft202012Validator.check_schema(schema)
    Draft202012Validator(schemas[0]).validate({"a": 1})
    assert not Draft202012Validator(schemas[0]).is_valid({"a": "1"})


def test_what_is_no_asyncapi_document_is_found_out(official: dict[str, Any]) -> None:
    document = asyncapi(DeploymentSpec("default", "live", "backend", []), "127.0.0.1:4222")
    assert Draft7Validator(official).is_valid(document)
    assert not Draft7Validator(official).is_valid({**document, "operations": {"a": {"action": "takes"}}})
