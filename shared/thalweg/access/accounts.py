"""The accounts of a workspace on NATS, and what they see of each other.

Permissions alone do not keep a user of an account that has streams from anything in it: the server publishes replies without asking
whether the requester may publish there. Whoever may publish to one stream can have its acknowledgement stored in another, and
whoever may pull from one consumer can have a stream deleted, by a reply subject that is such a request. What a reply, or a message of a
service import, reaches in another account ends there. So those that are not trusted with the whole workspace are in accounts without
streams, and import what they may ask for.
"""

from __future__ import annotations

from typing import Any, Literal

from thalweg.access.claims import Claims
from thalweg.wire import subjects

# `records` has the streams; coordinators and clients are in it, who can change everything. `vertices` is that of vertices and the
# gateway, `programs` that of programs outside.
AccountName = Literal["records", "vertices", "programs"]
ACCOUNTS: tuple[AccountName, ...] = ("records", "vertices", "programs")
# All of JetStream's, of which permissions leave little. Not less: the server gives an account that does not import exactly this an
# import of its own JetStream, so that two answer, of which one says that there is none.
_API = "$JS.API.>"
_UNLIMITED = ("subs", "data", "payload", "imports", "exports", "conn")
_STREAMS = ("mem_storage", "disk_storage", "streams", "consumer")


def account_claims(
    workspace: str, name: AccountName, public: dict[AccountName, str], signers: list[str], valid_from_s: int | None = None
) -> Claims:
    """What the operator says of an account.

    Args:
        workspace: whose.
        name: which.
        public: keys of all three.
        signers: public keys that sign its users.
        valid_from_s: credentials that were issued until then (seconds since 1970, UTC) are no good; None for no such time.
    """
    limits = _limits()
    found: Claims = {"limits": limits, "signing_keys": signers, "default_permissions": {"pub": {}, "sub": {}}}
    if valid_from_s is not None:
        found["revocations"] = {"*": valid_from_s}
    outputs = subjects.all_outlets(workspace, "*")
    match name:
        case "records":
            limits |= dict.fromkeys(_STREAMS, -1)
            found["exports"] = [_export(subjects.all_of_workspace(workspace), "service"), _export(_API, "service", many=True)]
        case "vertices":
            asked = (subjects.all_of_workspace(workspace), _API)
            found["imports"] = [_import(subject, "service", public["records"]) for subject in asked]
            # From here, not from `records`: there, messages that came by a service import go no further.
            found["exports"] = [_export(outputs, "stream")]
        case "programs":
            inputs = subjects.inlets(workspace)
            found["imports"] = [_import(inputs, "service", public["records"]), _import(outputs, "stream", public["vertices"])]
    return found


def system_claims() -> Claims:
    """What the operator says of the server's own account, which nobody is in."""
    return {"limits": _limits()}


def _limits() -> dict[str, Any]:
    return {**dict.fromkeys(_UNLIMITED, -1), "wildcards": True, "leaf": 0}


def _export(subject: str, kind: str, *, many: bool = False) -> dict[str, Any]:
    answers = {"response_type": "Stream" if many else "Singleton"} if kind == "service" else {}
    return {"name": subject, "subject": subject, "type": kind, **answers}


def _import(subject: str, kind: str, account: str) -> dict[str, Any]:
    return {"name": subject, "subject": subject, "account": account, "type": kind}
