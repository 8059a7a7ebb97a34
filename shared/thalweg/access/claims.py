"""Claims of NATS, version 2: what an operator says of accounts, and accounts of users, signed (github.com/nats-io/jwt)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from thalweg.errors import RejectedError
from thalweg.sealed.nkeys import NatsKey, verify

Claims = dict[str, Any]
VERSION = 2
MAX_JWT_BYTES = 256 << 10
_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}


def issue(by: NatsKey, subject: str, name: str, kind: str, said: Claims, issued_s: int, expires_s: int | None = None) -> str:
    """A signed token.

    Args:
        by: who signs.
        subject: public key that it is about.
        name: for people and logs of the server.
        kind: `operator`, `account` or `user`.
        said: the part of that kind.
        issued_s, expires_s: seconds since 1970, UTC; None for no end.
    """
    claims: Claims = {"iat": issued_s, "iss": by.public, "name": name, "sub": subject, "nats": {**said, "type": kind, "version": VERSION}}
    if expires_s is not None:
        claims["exp"] = expires_s
    digest = hashlib.sha256(_packed(claims).encode()).digest()
    claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
    text = f"{_packed(_HEADER)}.{_packed(claims)}"
    return f"{text}.{_text(by.sign(text.encode()))}"


def read(jwt: str) -> Claims:
    """What a token says, once its own signature is checked; whether its issuer may say so, the server knows alone.

    Raises:
        RejectedError: `credentials.invalid`; the message has nothing of the token in it.
    """
    header, _, rest = jwt.partition(".")
    body, _, signature = rest.partition(".")
    try:
        if len(jwt) > MAX_JWT_BYTES or json.loads(_bytes(header))["alg"] != _HEADER["alg"]:
            raise ValueError
        claims: Claims = json.loads(_bytes(body))
        verify(claims["iss"], f"{header}.{body}".encode(), _bytes(signature))
        if not isinstance(claims["nats"], dict) or not isinstance(claims["sub"], str):
            raise TypeError
    except (ValueError, KeyError, TypeError, RejectedError):
        raise RejectedError("not a token of NATS, or not as it was signed", code="credentials.invalid") from None
    return claims


def _packed(value: Claims) -> str:
    return _text(json.dumps(value, separators=(",", ":"), sort_keys=True).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
