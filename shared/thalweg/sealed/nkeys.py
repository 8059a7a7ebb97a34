"""Keys of NATS: Ed25519, written in base32 with what they are for in front and a checksum behind."""

from __future__ import annotations

import base64
import binascii
import secrets
from enum import IntEnum
from typing import Self

from thalweg.errors import RejectedError

_SEED = 18 << 3  # `S`
_KEY_BYTES = 32


class Kind(IntEnum):
    """What a key is for: the byte that makes the first letter of what is written."""

    OPERATOR = 14 << 3  # `O`
    ACCOUNT = 0  # `A`
    USER = 20 << 3  # `U`


class NatsKey:
    """A pair of keys. Neither `str` nor `repr` shows the private one. Source: NATS ADR-14, github.com/nats-io/nkeys.

    Args:
        kind: what for.
        raw: the 32 bytes of the private key.
    """

    def __init__(self, kind: Kind, raw: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self.kind, self._raw = kind, raw
        self._key = Ed25519PrivateKey.from_private_bytes(raw)
        self.public = _written(bytes([kind]) + self._key.public_key().public_bytes_raw())

    @classmethod
    def make(cls, kind: Kind) -> Self:
        """A new one."""
        return cls(kind, secrets.token_bytes(_KEY_BYTES))

    @classmethod
    def of_seed(cls, seed: str) -> Self:
        """Raises RejectedError (`key.invalid`), whose message has nothing of the seed in it."""
        found = _read(seed)
        kind = ((found[0] & 7) << 5 | found[1] >> 3) if len(found) == _KEY_BYTES + 2 and found[0] & 0xF8 == _SEED else -1
        if kind not in tuple(Kind):
            raise RejectedError("not a seed of NATS", code="key.invalid")
        return cls(Kind(kind), found[2:])

    @property
    def seed(self) -> str:
        """The private key as NATS writes it: `SU…`, `SA…`, `SO…`."""
        return _written(bytes([_SEED | self.kind >> 5, (self.kind & 31) << 3]) + self._raw)

    def sign(self, data: bytes) -> bytes:
        """The signature's 64 bytes."""
        return self._key.sign(data)

    def __repr__(self) -> str:
        return f"NatsKey({self.public})"


def verify(public: str, data: bytes, signature: bytes) -> None:
    """Raises RejectedError: it is not that key's signature of these bytes (`signature.invalid`), or no public key (`key.invalid`)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    found = _read(public)
    if len(found) != _KEY_BYTES + 1 or found[0] not in tuple(Kind):
        raise RejectedError("not a public key of NATS", code="key.invalid")
    try:
        Ed25519PublicKey.from_public_bytes(found[1:]).verify(signature, data)
    except InvalidSignature:
        raise RejectedError("the signature is not valid", code="signature.invalid") from None


def _written(data: bytes) -> str:
    checksum = binascii.crc_hqx(data, 0)
    return base64.b32encode(data + checksum.to_bytes(2, "little")).decode().rstrip("=")


def _read(text: str) -> bytes:
    """What was written; empty for what was not."""
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        return b""
    return data[:-2] if binascii.crc_hqx(data[:-2], 0) == int.from_bytes(data[-2:], "little") else b""
