"""Issues credentials for vertices and programs of one workspace; what it signs with comes from a file."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from thalweg.access.claims import issue
from thalweg.access.credentials import Credentials, read_private
from thalweg.access.permissions import Permissions, of_gateway, of_program, of_vertex
from thalweg.errors import RejectedError
from thalweg.sealed.nkeys import Kind, NatsKey

_INBOX_CHARS = 32


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs users of one account.

    Attributes:
        account: its public key.
        key: one that the account has named for signing.
    """

    account: str
    key: NatsKey

    def sign(self, name: str, permissions: Permissions | None, life_s: float | None = None) -> Credentials:
        """New credentials.

        Args:
            name: for people.
            permissions: None for everything in the account.
            life_s: how long they are good; None for ever.
        """
        user, now_s = NatsKey.make(Kind.USER), int(time.time())
        said: dict[str, Any] = {"subs": -1, "data": -1, "payload": -1, "issuer_account": self.account}
        said |= permissions.claims() if permissions is not None else {"pub": {}, "sub": {}}
        expires_s = now_s + max(1, int(life_s)) if life_s is not None else None
        return Credentials(issue(self.key, user.public, name, "user", said, now_s, expires_s), user)


class Issuer:
    """Mints credentials. Constructing does no I/O.

    Args:
        workspace: whose.
        vertices, programs: signers of these accounts.
    """

    def __init__(self, workspace: str, vertices: Signer, programs: Signer) -> None:
        self.workspace, self._vertices, self._programs = workspace, vertices, programs

    @classmethod
    def load(cls, path: Path, workspace: str) -> Self:
        """Out of an issuer file, as `thalweg keys` writes it. Blocking.

        Raises:
            RejectedError: `issuer.unreadable`, `issuer.exposed`, `issuer.invalid`; `issuer.foreign`, it is of another workspace.
        """
        try:
            found = json.loads(read_private(path, "issuer"))
            of = str(found["workspace"])
            signers = [Signer(str(found[name]["account"]), NatsKey.of_seed(found[name]["seed"])) for name in ("vertices", "programs")]
        except (ValueError, KeyError, TypeError):
            raise RejectedError(f"{path}: not an issuer file", code="issuer.invalid", hint="`thalweg keys init` makes one") from None
        except RejectedError as error:
            if error.code != "key.invalid":
                raise
            raise RejectedError(f"{path}: {error}", code="issuer.invalid", hint="`thalweg keys init` makes one") from None
        if of != workspace:
            raise RejectedError(f"{path} is of workspace {of}, not of {workspace}", code="issuer.foreign")
        return cls(workspace, *signers)

    def for_vertex(self, deployment: str, vertex: str, life_s: float | None, *, has_outlet: bool) -> Credentials:
        """Of one vertex, or one partition of one; see `permissions.of_vertex`."""
        permissions = of_vertex(self.workspace, deployment, vertex, self._inbox(f"vertex {deployment} {vertex}"), has_outlet=has_outlet)
        return self._vertices.sign(f"vertex {deployment}/{vertex}", permissions, life_s)

    def for_gateway(self) -> Credentials:
        """See `permissions.of_gateway`."""
        return self._vertices.sign("gateway", of_gateway(self.workspace, self._inbox("gateway")))

    def for_program(self, name: str, publish: tuple[str, ...], subscribe: tuple[str, ...], life_s: float | None) -> Credentials:
        """See `permissions.of_program`; nobody else can read what it is answered."""
        return self._programs.sign(name, of_program(publish, subscribe, self._inbox(f"program {os.urandom(16).hex()}")), life_s)

    def _inbox(self, whose: str) -> str:
        """Nobody guesses it who has not the key; new credentials of the same vertex have the same one, so that they can replace others."""
        seed = self._vertices.key.seed.encode()
        return f"_INBOX_{hmac.new(seed, f'{self.workspace} {whose}'.encode(), hashlib.sha256).hexdigest()[:_INBOX_CHARS]}"
