"""What nats-server is told of keys: parts of its configuration, which `nats.conf` of the folder of keys includes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

# A token with its permissions is longer than the 4 KiB that a line of the protocol may have by default.
MAX_LINE_BYTES = 64 << 10
MAIN = """# Who may connect, and do what: `include` this file in the configuration of nats-server. Made by `thalweg keys`.
include accounts.conf
include tls.conf
"""


def accounts_config(operator: str, system: str, accounts: Mapping[str, str]) -> str:
    """The trusted operator and the accounts.

    Args:
        operator: its token.
        system: public key of the server's own account.
        accounts: tokens by public key.
    """
    lines = [
        "# Made anew by `thalweg keys`; the server reads it when it is started or told to reload. Nothing in it is secret.",
        f"operator: {json.dumps(operator)}",
        f"system_account: {system}",
        f"max_control_line: {MAX_LINE_BYTES}",
        "resolver: MEMORY",
        "resolver_preload {",
        *(f"  {public}: {json.dumps(token)}" for public, token in accounts.items()),
        "}",
    ]
    return "\n".join(lines) + "\n"


def tls_config(folder: Path) -> str:
    """The server's certificate.

    Args:
        folder: of keys, as the server sees it.
    """
    files = {"cert_file": "server.pem", "key_file": "server.key", "ca_file": "ca.pem"}
    lines = [f"  {name}: {json.dumps(str(folder / file))}" for name, file in files.items()]
    return "\n".join(["tls {", *lines, '  min_version: "1.3"', "  timeout: 5", "}"]) + "\n"
