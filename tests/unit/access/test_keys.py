"""The folder of keys: made once, added to, never replaced."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from thalweg.access.claims import read
from thalweg.access.credentials import Credentials
from thalweg.access.keys import KeyFolder
from thalweg.errors import RejectedError
from thalweg.sealed.certificates import hosts_of
from thalweg_cli.main import app

SECRET = {"operator.seed", "system.seed", "ca.key", "server.key", "accounts.json", "issuer.json"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def accounts(folder: Path) -> dict[str, dict[str, Any]]:
    """Claims of all accounts by their names."""
    lines = (folder / "accounts.conf").read_text().splitlines()
    claims = [read(json.loads(line.partition(":")[2])) for line in lines if line.startswith("  A")]
    return {one["name"]: one for one in claims}


def test_what_is_there_stays_and_what_is_secret_is_its_owners(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    made = keys.make(["default"], ["nats.example.com", "10.0.0.5"])
    before = contents(keys.folder)
    assert {path.name for path in made} >= SECRET | {"coordinator.creds", "client.creds", "gateway.creds"}
    for path in keys.folder.rglob("*"):
        if path.name in SECRET or path.suffix == ".creds":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert hosts_of((keys.folder / "server.pem").read_bytes()) == ["nats.example.com", "10.0.0.5"]
    assert not keys.make(["default"], ["other.example.com"])
    after = contents(keys.folder)
    assert {name for name in after if after[name] != before.get(name)} <= {"accounts.conf"}  # tokens are signed anew


def test_a_workspace_is_three_accounts_that_import_of_their_own(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path)
    keys.make(["a"], [])
    keys.make(["b"], [])
    found = accounts(keys.folder)
    assert set(found) == {"system", *(f"{one} {name}" for one in "ab" for name in ("records", "vertices", "programs"))}
    public = {claims["sub"]: name for name, claims in found.items()}
    for name, claims in found.items():
        imported = {public[one["account"]].partition(" ")[0] for one in claims["nats"].get("imports", [])}
        assert imported <= {name.partition(" ")[0]}
    assert "disk_storage" in found["a records"]["nats"]["limits"]
    assert not [name for name, one in found.items() if "disk_storage" in one["nats"]["limits"] and "records" not in name]
    assert not [one for one in found["a programs"]["nats"]["imports"] if "$JS" in one["subject"] or ".api" in one["subject"]]
    assert keys.workspaces() == ["a", "b"]


def test_revoked_accounts_say_so_and_services_get_new_credentials(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path)
    keys.make(["a"], [])
    before = contents(keys.folder)
    made = keys.revoke("a", ["vertices"])
    assert [path.name for path in made] == ["gateway.creds"]
    said = accounts(keys.folder)
    until = said["a vertices"]["nats"]["revocations"]["*"]
    assert "revocations" not in said["a records"]["nats"]
    assert Credentials.load(keys.credentials("a", "gateway")).claims["iat"] > until
    assert contents(keys.folder)["operator.jwt"] == before["operator.jwt"]  # else a server would not reload
    with pytest.raises(RejectedError, match="no keys of workspace b"):
        keys.revoke("b", ["vertices"])


@pytest.mark.parametrize("host", ["", "a b", "ü.example", "-a", "a..b", "x" * 254])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(RejectedError) as caught:
        KeyFolder(tmp_path).make(["a"], [host])
    assert caught.value.code == "keys.host"


def test_commands_print_no_key(tmp_path: Path) -> None:
    folder, runner = tmp_path / "keys", CliRunner()
    said = ""
    for words, code in (
        (["init", str(folder), "--workspace", "a", "--host", "nats.example.com", "--server-path", "/etc/keys"], 0),
        (["init", str(folder), "--workspace", "a", "--json"], 0),
        (["workspace", str(folder), "b"], 0),
        (["workspace", str(folder), "B c"], 3),
        (["workspace", str(tmp_path / "nothing"), "b"], 3),
        (["show", str(folder)], 0),
        (["show", str(folder), "--json"], 0),
        (["show", str(tmp_path)], 3),
        (["revoke", str(folder), "a", "--of", "nobody"], 2),
        (["revoke", str(folder), "c"], 3),
    ):
        done = runner.invoke(app, ["keys", *words])
        assert done.exit_code == code, (words, done.output)
        said += done.output
    assert '"/etc/keys/server.key"' in (folder / "tls.conf").read_text()
    secrets = [path.read_text() for path in folder.rglob("*") if path.name in SECRET or path.suffix == ".creds"]
    found = {word for text in secrets for word in text.replace('"', " ").split() if len(word) > 40 and not word.startswith("-")}
    assert len(found) > 10 and not [word for word in found if word in said]
