"""Signs evidence, and checks a signature: Ed25519 over the canonical JSON of all but the signature."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.errors import RejectedError
from thalweg.sealed.keys import load_or_make_key
from thalweg.sealed.signatures import SigningKey, canonical_json, verify


def workspace_key(given: str | None, data: Path) -> SigningKey:
    """The key that signs a workspace's evidence: the given one, else that of `<data>/signing.key`. Blocking."""
    return SigningKey(load_or_make_key(given, data / "signing.key"))


def signed(document: Mapping[str, Any], key: SigningKey) -> bytes:
    """The document with its signature, as canonical JSON."""
    signature = {"key": key.public, "value": key.sign(canonical_json(dict(document)))}
    return canonical_json({**document, "signature": signature})


def check_signature(document: Mapping[str, Any], trusted: str | None) -> str:
    """Checks that a document is what its key has signed; the key.

    Args:
        document: with its signature.
        trusted: the public key that must have signed; None for any.

    Raises:
        RejectedError: `signature.invalid`, `signature.foreign` (another key than the trusted one), `key.invalid` or
            `evidence.unreadable`.
    """
    try:
        public, value = document["signature"]["key"], document["signature"]["value"]
        text = canonical_json({name: one for name, one in document.items() if name != "signature"})
    except (KeyError, TypeError) as error:
        raise RejectedError("this is no signed evidence", code="evidence.unreadable") from error
    if not isinstance(public, str) or not isinstance(value, str):
        raise RejectedError("this is no signed evidence", code="evidence.unreadable")
    verify(public, text, value)
    if trusted is not None and public != trusted:
        raise RejectedError("it is signed with another key than this workspace's", code="signature.foreign", key=public)
    return public
