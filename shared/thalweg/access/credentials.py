"""Credentials of a user of NATS, as its tools write them: a token, and the key that it is about."""

from __future__ import annotations

import re
import stat
import time
from pathlib import Path
from typing import Self

from thalweg.access.claims import Claims, read
from thalweg.errors import RejectedError
from thalweg.sealed.nkeys import Kind, NatsKey
from thalweg.wire import subjects

MAX_BYTES = 512 << 10
_BLOCK = re.compile(r"-----BEGIN [A-Z ]+-----\s+(\S+)\s+-{5,}END [A-Z ]+-{5,}")


class Credentials:
    """What a user is let in by. `repr` shows nothing of it.

    Args:
        jwt: the token.
        key: the user's.

    Raises:
        RejectedError: `credentials.invalid`, the token is not that of the key.
    """

    def __init__(self, jwt: str, key: NatsKey) -> None:
        self.jwt, self.key = jwt, key
        self.claims: Claims = read(jwt)
        if self.claims["sub"] != key.public or key.kind is not Kind.USER:
            raise RejectedError("the token is of another key", code="credentials.invalid")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Out of the text of a `.creds` file. Raises RejectedError (`credentials.invalid`)."""
        found = _BLOCK.findall(text)
        if len(found) < 2:
            raise RejectedError("not credentials of NATS: a token and a seed are expected", code="credentials.invalid")
        try:
            return cls(found[0], NatsKey.of_seed(found[1]))
        except RejectedError as error:
            raise RejectedError(f"not credentials of NATS: {error}", code="credentials.invalid") from None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises RejectedError: as `parse`; `credentials.unreadable`; `credentials.exposed`, everyone on this machine may read it."""
        return cls.parse(read_private(path, "credentials"))

    def text(self) -> str:
        """As a file has them."""
        return (
            f"-----BEGIN NATS USER JWT-----\n{self.jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{self.key.seed}\n------END USER NKEY SEED------\n"
        )

    @property
    def name(self) -> str:
        """Whose, for people."""
        return str(self.claims.get("name", ""))

    @property
    def expires_s(self) -> int | None:
        """Until when they are good, seconds since 1970, UTC; None for ever."""
        found = self.claims.get("exp")
        return int(found) if isinstance(found, (int, float)) and found else None

    @property
    def is_expired(self) -> bool:
        """By this machine's clock."""
        return self.expires_s is not None and self.expires_s <= time.time()

    @property
    def inbox(self) -> str:
        """Prefix of the subjects that it may be answered on."""
        allowed = self._allowed("sub")
        own = [one.removesuffix(".>") for one in allowed if one.startswith("_INBOX") and one.endswith(".>")]
        return own[0] if own else "_INBOX"

    def reader(self, stream: str) -> str | None:
        """Subject on which the coordinator is asked for a consumer; None for a user that makes consumers itself."""
        asked = next((place for one in self._allowed("pub") if (place := subjects.parse_reader(one)) is not None), None)
        return subjects.reader(asked[0], stream, asked[1]) if asked is not None else None

    def _allowed(self, side: str) -> list[str]:
        found = self.claims["nats"].get(side)
        allowed = found.get("allow") if isinstance(found, dict) else None
        return [one for one in allowed if isinstance(one, str)] if isinstance(allowed, list) else []

    def __repr__(self) -> str:
        return f"Credentials({self.name!r})"


def read_private(path: Path, what: str) -> str:
    """Text of a file that not everyone may read.

    Args:
        path: of the file, up to 512 KiB.
        what: it holds; begins the codes of errors.

    Raises:
        RejectedError: `….unreadable`, `….exposed`.
    """
    try:
        with path.open("rb") as file:
            # Not what the group may: mounted secrets are given to a service that way.
            if stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO and not _is_passed_on(path):
                hint = f"chmod 600 {path}, and make new ones when somebody may have read it"
                raise RejectedError(f"{path}: everyone on this machine may read it", code=f"{what}.exposed", hint=hint, path=str(path))
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RejectedError(f"{path}: {error.strerror or error}", code=f"{what}.unreadable", path=str(path)) from error
    if len(data) > MAX_BYTES:
        raise RejectedError(f"{path}: too large", code=f"{what}.unreadable", path=str(path))
    return data.decode(errors="replace")


def _is_passed_on(path: Path) -> bool:
    """Whether it is an open file of this process, and no name on a disk."""
    return str(path).startswith(("/dev/fd/", "/proc/self/fd/"))
