"""Components get the secrets that they declare, and nothing shows them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from thalweg import RejectedError, Secret, component
from thalweg.sdk.component import component_of
from thalweg.sdk.release import ComponentRelease
from thalweg.testing import run_component


@component("signed", version="1.0.0")
def signed(record: str, token: Secret, more: Secret | None) -> str:
    """Appends how long its secrets are."""
    return f"{record} {len(token.reveal())} {more and len(more.reveal())} {token}"


@component("signed-class", version="1.0.0")
class Signed:
    """The same, as a class."""

    token: Secret

    def process(self, record: str) -> str:
        """The record and the length of the secret."""
        return f"{record} {len(self.token.reveal())} {self.token!r}"


@component("signed-source", version="1.0.0")
def signed_source(token: Secret) -> Iterator[int]:
    """A source with a secret."""
    yield len(token.reveal())


def test_a_manifest_lists_secrets_and_they_are_no_ports() -> None:
    manifest = ComponentRelease(component_of(signed), "x").manifest
    assert (manifest.secrets, manifest.optional_secrets, list(manifest.inputs)) == (["token", "more"], ["more"], ["in"])
    assert ComponentRelease(component_of(Signed), "x").manifest.secrets == ["token"]
    assert ComponentRelease(component_of(signed_source), "x").manifest.kind == "source"


def test_components_of_every_shape_get_their_secrets() -> None:
    assert run_component(signed, ["a"], secrets={"token": "12345"}).out == ["a 5 None Secret(…)"]
    assert run_component(signed, ["a"], secrets={"token": "12345", "more": "123"}).out == ["a 5 3 Secret(…)"]
    assert run_component(Signed, ["a"], secrets={"token": "12345"}).out == ["a 5 Secret(…)"]
    assert run_component(signed_source, secrets={"token": "12345"}).out == [5]


def test_a_secret_that_is_needed_must_be_bound() -> None:
    with pytest.raises(RejectedError) as caught:
        run_component(signed, ["a"])
    assert caught.value.code == "secret.unbound"


def test_a_secret_shows_in_no_text() -> None:
    secret = Secret("planted")
    assert "planted" not in f"{secret} {secret!r} {secret!s} {[secret]} {(secret,)!r}"
    assert not hasattr(secret, "__dict__")
