"""URLs of NATS servers: lists of them, and what is told of wrong ones."""

from __future__ import annotations

import pytest

from thalweg.bus.connection import connect
from thalweg.errors import UsageError


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nats://ada:se,cr,et@a:4222, b,nats://eve:x@c:port", "nats://a:4222,b,nats://c:port"),
        ("nats://token@a:port", "nats://a:port"),
        ("ada:secret@a:port", "a:port"),
        ("nats://ada:secret@a,ws://b", "nats://a,ws://b"),
        ("nats://ada:secret@[a", "nats://[a"),
        (",", ","),
        ("", ""),
    ],
)
async def test_a_wrong_url_is_told_without_its_password(url: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        await connect(url, "test")
    assert caught.value.code == "settings.invalid" and str(caught.value) == f"{told!r} is not the URL of a NATS server"
