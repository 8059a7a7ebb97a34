"""Ed25519 signatures by a workspace's key over canonical JSON."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from thalweg.errors import RejectedError

_PREFIX = "ed25519:"
_PUBLIC_BYTES = 32


def canonical_json(value: Any) -> bytes:
    """The bytes that are signed: UTF-8, keys sorted, no white space; the same for equal values.

    Raises:
        RejectedError: what JSON does not have, such as NaN (`json.not_canonical`).
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise RejectedError(f"not JSON: {error}", code="json.not_canonical") from None


class SigningKey:
    """Signs for a workspace. Source: RFC 8032.

    Args:
        seed: 32 bytes, as `load_or_make_key` gives them; not those of a `SecretBox`.
    """

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = _PREFIX + base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    @property
    def key_id(self) -> str:
        """Short name of the public key."""
        return key_id_of(self.public)

    def sign(self, data: bytes) -> str:
        """Signature of bytes, in base64; the same at every call."""
        return base64.b64encode(self._key.sign(data)).decode()

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"


def key_id_of(public: str) -> str:
    """Short name of a public key: 16 hex digits of its SHA-256.

    Raises:
        RejectedError: it is no public key (`key.invalid`).
    """
    return hashlib.sha256(_public_bytes(public)).hexdigest()[:16]


def verify(public: str, data: bytes, signature: str) -> None:
    """Check a signature.

    Args:
        public: `ed25519:` and base64, as `SigningKey.public`.
        data: what was signed.
        signature: as `SigningKey.sign` gave it.

    Raises:
        RejectedError: it is not that key's signature of these bytes (`signature.invalid`), or no public key (`key.invalid`).
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(_public_bytes(public))
    try:
        key.verify(base64.b64decode(signature, validate=True), data)
    except (InvalidSignature, binascii.Error, ValueError):
        raise RejectedError("the signature is not valid", code="signature.invalid", key_id=key_id_of(public)) from None


def _public_bytes(public: str) -> bytes:
    try:
        found = base64.b64decode(public.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not public.startswith(_PREFIX) or len(found) != _PUBLIC_BYTES:
        raise RejectedError(f"not a public key: {public!r}", code="key.invalid", hint=f"{_PREFIX} and base64 of {_PUBLIC_BYTES} bytes")
    return found
