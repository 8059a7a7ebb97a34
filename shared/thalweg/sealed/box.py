"""Secrets encrypted at rest, each bound to its workspace and name."""

from __future__ import annotations

import hashlib
import secrets

from thalweg.errors import RejectedError

_VERSION = 1
_KEY_ID_BYTES, _NONCE_BYTES, _TAG_BYTES = 8, 12, 16
_HEAD_BYTES = 1 + _KEY_ID_BYTES


class SecretBox:
    """Encrypts and decrypts with AES-256-GCM. Source: NIST SP 800-38D.

    Stored bytes: version (1), key id (8), nonce (12), ciphertext and tag. Workspace and name are authenticated with them:
    one secret's bytes do not open under another's name. For a rotation, give the new key first and the old ones behind
    it, and seal again what is not `is_current`.

    Args:
        key: 32 bytes, used to encrypt.
        older: keys that are still used to decrypt.
    """

    def __init__(self, key: bytes, *older: bytes) -> None:
        self._current = _key_id(key)
        self._keys = {_key_id(one): one for one in (key, *older)}

    def encrypt(self, workspace: str, name: str, value: str) -> bytes:
        """The stored bytes of a secret; other ones at every call."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        head, nonce = bytes([_VERSION]) + self._current, secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self._keys[self._current]).encrypt(nonce, value.encode(), _bound_to(head, workspace, name))
        return head + nonce + sealed

    def decrypt(self, workspace: str, name: str, stored: bytes) -> str:
        """The secret behind stored bytes.

        Raises:
            RejectedError: sealed with a key that is not here (`secret.wrong_key`), or changed, cut, or stored under another
                workspace or name (`secret.damaged`).
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        head, nonce, sealed = stored[:_HEAD_BYTES], stored[_HEAD_BYTES : _HEAD_BYTES + _NONCE_BYTES], stored[_HEAD_BYTES + _NONCE_BYTES :]
        if len(sealed) < _TAG_BYTES or head[0] != _VERSION:
            raise RejectedError(f"secret {name}: its stored bytes are damaged", code="secret.damaged", secret=name)
        key = self._keys.get(head[1:])
        if key is None:
            raise RejectedError(
                f"secret {name}: sealed with another key ({head[1:].hex()})",
                code="secret.wrong_key",
                hint="check THALWEG_SECRET_KEY or the key file, or set the secret again",
                secret=name,
            )
        try:
            return AESGCM(key).decrypt(nonce, sealed, _bound_to(head, workspace, name)).decode()
        except InvalidTag:
            raise RejectedError(f"secret {name}: its stored bytes are damaged", code="secret.damaged", secret=name) from None

    def is_current(self, stored: bytes) -> bool:
        """Whether stored bytes are of the current version and key."""
        return stored[:_HEAD_BYTES] == bytes([_VERSION]) + self._current

    def __repr__(self) -> str:
        return f"SecretBox(key {self._current.hex()})"


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"thalweg key id\0" + key).digest()[:_KEY_ID_BYTES]


def _bound_to(head: bytes, workspace: str, name: str) -> bytes:
    """Associated data; the lengths keep `a`, `bc` apart from `ab`, `c`."""
    parts = (workspace.encode(), name.encode())
    return head + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
