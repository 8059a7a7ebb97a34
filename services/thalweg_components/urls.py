"""URLs of things outside: checked params without credentials, which are put in where they are used."""

from __future__ import annotations

import ssl
from urllib.parse import quote, urlsplit, urlunsplit

from thalweg import RejectedError, Secret


def check_url(text: str, *schemes: str) -> str:
    """The URL.

    Raises:
        ValueError: it is none of these schemes, or has a user or a password in it.
    """
    parts = urlsplit(text)
    if parts.username or parts.password:
        raise ValueError("user and password are secrets: bind the slots user and password")
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"must begin with {' or '.join(f'{one}://' for one in schemes)} and a host")
    return text


def with_credentials(url: str, user: Secret | None, password: Secret | None) -> str:
    """The URL with user and password in it.

    Raises:
        RejectedError: there is a password without a user (`secret.unbound`).
    """
    if user is None:
        if password is not None:
            raise RejectedError("a password needs a user", code="secret.unbound", hint="secrets: {user: NAME, password: NAME}")
        return url
    parts = urlsplit(url)
    secret = f":{quote(password.reveal(), safe='')}" if password is not None else ""
    return urlunsplit(parts._replace(netloc=f"{quote(user.reveal(), safe='')}{secret}@{parts.netloc}"))


def tls_options(*, is_checked: bool) -> dict[str, str]:
    """FFmpeg's options for TLS; by itself it checks no certificate."""
    if not is_checked:
        return {"tls_verify": "0"}
    authorities = ssl.get_default_verify_paths().cafile
    return {"tls_verify": "1"} | ({"ca_file": authorities} if authorities else {})
