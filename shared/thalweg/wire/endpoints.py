"""Endpoints as stored: who may use one, by the hash of a token, and which deployment of a backend its URL leads to.

Both are in the bucket `endpoints`: key `<backend>.<vertex>.<endpoint>` is an EndpointRecord, key `<backend>` a Pointer.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

import msgspec

MAX_TOKENS = 4  # that are valid at once: the newest, and those before it in their grace time
TOKEN_PREFIX = "twe_"
_NO_HASH = "0" * 64


class TokenHash(msgspec.Struct, frozen=True):
    """SHA-256 of a token, hex; a token is 256 random bits, so that no slower hash is needed. `expires_ns`: None for not yet."""

    sha256: str
    created_ns: int
    expires_ns: int | None = None


class EndpointRecord(msgspec.Struct, frozen=True):
    """One endpoint of a backend; `tokens` newest first."""

    side: Literal["in", "out"]
    created_ns: int
    tokens: list[TokenHash] = []


class Pointer(msgspec.Struct, frozen=True):
    """The current deployment of a backend; `aliases` of endpoints, as `vertex.endpoint`, are those of the graph that it runs."""

    deployment: str
    deployed_ns: int
    aliases: dict[str, str] = {}


def record_key(backend: str, vertex: str, endpoint: str) -> str:
    """Key of an endpoint's record."""
    return f"{backend}.{vertex}.{endpoint}"


def hash_token(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def rotate(record: EndpointRecord, token: str, now_ns: int, grace_ns: int) -> EndpointRecord:
    """The record with a new token; those before it are valid for `grace_ns` more, at most."""
    until = now_ns + grace_ns
    kept = [
        msgspec.structs.replace(one, expires_ns=until if one.expires_ns is None else min(one.expires_ns, until))
        for one in record.tokens
        if (one.expires_ns is None or one.expires_ns > now_ns) and grace_ns > 0
    ]
    return msgspec.structs.replace(record, tokens=[TokenHash(hash_token(token), now_ns), *kept][:MAX_TOKENS])


def is_accepted(record: EndpointRecord | None, token: str | None, now_ns: int) -> bool:
    """Whether a token opens an endpoint. It takes as long for no token, a wrong one, or an endpoint that there is not."""
    given, found = hash_token(token or ""), False
    tokens = record.tokens if record is not None else []
    for index in range(MAX_TOKENS):
        one = tokens[index] if index < len(tokens) else TokenHash(_NO_HASH, 0, 0)
        is_same = hmac.compare_digest(one.sha256, given)
        found |= is_same and (one.expires_ns is None or one.expires_ns > now_ns)
    return found and token is not None
