"""Params of components that speak HTTP: where to, with which headers, how long they wait."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})


def check_http_url(text: str, *schemes: str) -> str:
    """The URL.

    Raises:
        ValueError: it is none of these schemes, or has a user or a password in it.
    """
    parts = urlsplit(text)
    if parts.username or parts.password:
        raise ValueError("url: user and password are secrets: bind the slot authorization, or the whole URL to the slot url")
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"url: must begin with {' or '.join(f'{one}://' for one in schemes)} and a host")
    return text


def shown_url(url: str, *, is_secret: bool = False) -> str:
    """A URL as receipts and errors name it: without its query; of a secret one, its host alone."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" + ("" if is_secret else parts.path)


class HttpParams(BaseModel):
    """What all of them have."""

    model_config = ConfigDict(extra="forbid")

    headers: dict[str, str] = Field(default_factory=dict, max_length=64, description="headers of each request; credentials are secrets")
    timeout_s: float = Field(10.0, gt=0, le=600, description="of one request, seconds")
    private_addresses: bool = Field(True, description="false: a host whose address is private, local or reserved is refused")
    max_response_bytes: int = Field(4_194_304, ge=1, le=268_435_456, description="a larger answer is refused")

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER.fullmatch(name) or not value.isprintable() or not value.isascii() or len(value) > 4096:
                raise ValueError(f"headers: {name[:80]!r} is no header, or its value is none")
            if name.lower() in _SECRET_HEADERS:
                raise ValueError(f"headers: {name} is a secret: bind the slot authorization")
        return headers
