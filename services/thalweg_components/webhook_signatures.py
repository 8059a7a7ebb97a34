"""Signatures of Standard Webhooks: headers by which a receiver knows who sent a message, and that it is the one it was.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"
MIN_KEY_BYTES, MAX_KEY_BYTES = 24, 64


def key_of(secret: str) -> bytes:
    """The key in a secret: `whsec_` and base64 of 24 to 64 bytes.

    Raises:
        ValueError: it is none; its value is not in the message.
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the signing secret is not whsec_ and base64") from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(f"the signing secret has {len(key)} bytes; {MIN_KEY_BYTES} to {MAX_KEY_BYTES} are a key")
    return key


def headers_of(message_id: str, timestamp_s: int, body: bytes, key: bytes | None) -> dict[str, str]:
    """Id and time of a message; signed where there is a key."""
    found = {"webhook-id": message_id, "webhook-timestamp": str(timestamp_s)}
    if key is not None:
        signed = hmac.new(key, f"{message_id}.{timestamp_s}.".encode() + body, hashlib.sha256).digest()
        found["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
    return found
