"""The folder of keys: an operator, three accounts for each workspace, credentials of its services, an authority for TLS."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Literal

from thalweg.access.accounts import ACCOUNTS, AccountName, account_claims, system_claims
from thalweg.access.claims import issue
from thalweg.access.credentials import read_private
from thalweg.access.issuer import Issuer, Signer
from thalweg.access.server import MAIN, accounts_config, tls_config
from thalweg.errors import RejectedError
from thalweg.sealed.certificates import Issued, make_authority, make_server
from thalweg.sealed.nkeys import Kind, NatsKey
from thalweg.settings import WORKSPACE_PATTERN

CONFIG, ISSUER, AUTHORITY = "nats.conf", "issuer.json", "ca.pem"
Role = Literal["coordinator", "client", "gateway"]
ROLES: tuple[Role, ...] = ("coordinator", "client", "gateway")
_OPERATOR, _SYSTEM, _ACCOUNTS, _REVOKED = "operator.seed", "system.seed", "accounts.json", "revoked.json"


class KeyFolder:
    """Makes what is missing, and never replaces a key. All of it blocks.

    Of the folder, `operator.seed`, `system.seed`, `ca.key` and `<workspace>/accounts.json` are needed only to make more: they may be kept
    elsewhere. A server needs `nats.conf`, `accounts.conf`, `tls.conf`, `ca.pem`, `server.pem`, `server.key`.

    Args:
        folder: made when needed, with mode 0700.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._made: list[Path] = []

    def make(self, workspaces: list[str], hosts: list[str], server_path: Path | None = None) -> list[Path]:
        """Everything for some workspaces and those that are there; the files that were made.

        Args:
            workspaces: names.
            hosts: names and addresses of the server, for a certificate that is not there yet.
            server_path: the folder as the server will see it, where that is another one.

        Raises:
            RejectedError: a name is not valid, a file cannot be read or written (`keys.…`).
        """
        self._made = []
        for one in workspaces:
            _check(one)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._certificates(hosts)
            operator, system = self._key(_OPERATOR, Kind.OPERATOR), self._key(_SYSTEM, Kind.ACCOUNT)
            for one in sorted({*workspaces, *self.workspaces()}):
                self._workspace(one)
            self._write(self.folder / CONFIG, MAIN)
            self._write(self.folder / "tls.conf", tls_config(server_path or self.folder))
            self._write_accounts(operator, system)
        except OSError as error:
            raise RejectedError(f"{error.filename or self.folder}: {error.strerror}", code="keys.unwritable") from error
        return self._made

    def workspaces(self) -> list[str]:
        """Those that it has keys of."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{_ACCOUNTS}"))

    def revoke(self, workspace: str, accounts: list[AccountName]) -> list[Path]:
        """All credentials of some accounts that were issued until now are no good any more, once the server has the new configuration.

        The services' own are made anew; those files.

        Raises:
            RejectedError: `keys.unknown`; as `make`.
        """
        if workspace not in self.workspaces():
            raise RejectedError(f"{self.folder} has no keys of workspace {workspace}", code="keys.unknown")
        path = self.folder / workspace / _REVOKED
        revoked = self._revoked(workspace) | {str(name): int(time.time()) for name in accounts}
        _replace(path, json.dumps(revoked) + "\n")
        time.sleep(1.0)  # tokens have their time in whole seconds, and those of this one are revoked
        roles = [role for role in ROLES if _account_of(role) in accounts]
        for role in roles:
            (self.folder / workspace / f"{role}.creds").unlink(missing_ok=True)
        return self.make([], [])

    def issuer(self, workspace: str) -> Issuer:
        """What mints credentials for vertices and programs. Raises RejectedError."""
        return Issuer.load(self.folder / workspace / ISSUER, workspace)

    def credentials(self, workspace: str, role: Role) -> Path:
        """File of a service's credentials."""
        return self.folder / workspace / f"{role}.creds"

    def _workspace(self, workspace: str) -> None:
        folder = self.folder / workspace
        folder.mkdir(mode=0o700, exist_ok=True)
        accounts = {name: (NatsKey.make(Kind.ACCOUNT).seed, NatsKey.make(Kind.ACCOUNT).seed) for name in ACCOUNTS}
        self._write(folder / _ACCOUNTS, json.dumps({name: {"seed": pair[0], "signer": pair[1]} for name, pair in accounts.items()}) + "\n")
        signers = self._signers(workspace)
        given = {name: {"account": signers[name].account, "seed": signers[name].key.seed} for name in ("vertices", "programs")}
        self._write(folder / ISSUER, json.dumps({"workspace": workspace, **given}) + "\n")
        for role in ("coordinator", "client"):
            self._write(folder / f"{role}.creds", signers["records"].sign(f"{role} of {workspace}", None).text())
        self._write(folder / "gateway.creds", self.issuer(workspace).for_gateway().text())

    def _signers(self, workspace: str) -> dict[AccountName, Signer]:
        found = self._accounts(workspace)
        return {name: Signer(NatsKey.of_seed(found[name]["seed"]).public, NatsKey.of_seed(found[name]["signer"])) for name in ACCOUNTS}

    def _accounts(self, workspace: str) -> dict[str, dict[str, str]]:
        path = self.folder / workspace / _ACCOUNTS
        try:
            found = json.loads(read_private(path, "keys"))
            return {name: {"seed": str(found[name]["seed"]), "signer": str(found[name]["signer"])} for name in ACCOUNTS}
        except (ValueError, KeyError, TypeError):
            raise RejectedError(f"{path}: damaged", code="keys.invalid") from None

    def _revoked(self, workspace: str) -> dict[str, int]:
        path = self.folder / workspace / _REVOKED
        return {str(name): int(at) for name, at in json.loads(path.read_text()).items()} if path.exists() else {}

    def _write_accounts(self, operator: NatsKey, system: NatsKey) -> None:
        now_s = int(time.time())
        tokens = {system.public: issue(operator, system.public, "system", "account", system_claims(), now_s)}
        for workspace in self.workspaces():
            signers, revoked = self._signers(workspace), self._revoked(workspace)
            public: dict[AccountName, str] = {name: signer.account for name, signer in signers.items()}
            for name, signer in signers.items():
                said = account_claims(workspace, name, public, [signer.key.public], revoked.get(name))
                tokens[signer.account] = issue(operator, signer.account, f"{workspace} {name}", "account", said, now_s)
        path = self.folder / "operator.jwt"  # a server that runs would not reload with another one
        about = {"system_account": system.public}
        self._write(path, issue(operator, operator.public, "thalweg", "operator", about, now_s) + "\n", 0o644)
        _replace(self.folder / "accounts.conf", accounts_config(path.read_text().strip(), system.public, tokens))

    def _certificates(self, hosts: list[str]) -> None:
        ca, ca_key = self.folder / AUTHORITY, self.folder / "ca.key"
        if not ca.exists():
            made = make_authority("Thalweg")
            self._write(ca_key, made.key.decode())
            self._write(ca, made.certificate.decode(), 0o644)
        server, key = self.folder / "server.pem", self.folder / "server.key"
        if not server.exists():
            issued = make_server(Issued(ca.read_bytes(), read_private(ca_key, "keys").encode()), hosts or ["localhost", "127.0.0.1", "::1"])
            self._write(key, issued.key.decode())
            self._write(server, issued.certificate.decode(), 0o644)

    def _key(self, name: str, kind: Kind) -> NatsKey:
        path = self.folder / name
        self._write(path, NatsKey.make(kind).seed + "\n")
        return NatsKey.of_seed(read_private(path, "keys").strip())

    def _write(self, path: Path, text: str, mode: int = 0o600) -> None:
        """Writes a file that is not there; the first of several wins, and nobody sees half of it."""
        if path.exists():
            return
        partial = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
        try:
            _write_new(partial, text, mode)
            os.link(partial, path)
            self._made.append(path)
        except FileExistsError:
            pass
        finally:
            partial.unlink(missing_ok=True)


def _account_of(role: Role) -> AccountName:
    return "vertices" if role == "gateway" else "records"


def _check(workspace: str) -> None:
    if re.fullmatch(WORKSPACE_PATTERN, workspace) is None:
        hint = "use 1 to 63 lower-case letters, digits, '-' or '_', starting with a letter or digit"
        raise RejectedError(f"workspace name {workspace!r} is not valid", code="name.invalid", hint=hint)


def _replace(path: Path, text: str, mode: int = 0o644) -> None:
    partial = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        _write_new(partial, text, mode)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_new(path: Path, text: str, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
