"""Has all tests of a session run on servers with TLS, and with credentials for whoever uses them: `THALWEG_TEST_SECURE=1`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from thalweg.access.access import Access
from thalweg.access.keys import AUTHORITY, ISSUER, KeyFolder
from thalweg.bus import connection
from thalweg.embedded import EmbeddedStack

HOSTS = ["127.0.0.1", "localhost"]


def secure_everything() -> None:
    """One set of keys for all servers, by what processes inherit and by defaults of this one."""
    keys = KeyFolder(Path(tempfile.mkdtemp(prefix="thalweg-keys-")))
    keys.make(["default"], HOSTS)
    found = Access(keys.credentials("default", "coordinator"), None, keys.folder / AUTHORITY)
    files = {"NATS_CREDS": found.path, "NATS_CA": found.ca_path, "NATS_ISSUER": keys.folder / "default" / ISSUER}
    os.environ.update({f"THALWEG_{name}": str(path) for name, path in files.items()})
    connection.connect.__defaults__ = (1, found)
    EmbeddedStack.__init__.__kwdefaults__ = {"keys": keys, "workspace": "default"}
