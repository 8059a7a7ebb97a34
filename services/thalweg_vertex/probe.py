"""`python -m thalweg_vertex.probe`: opens and closes the outside connections of one vertex, and prints how they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from thalweg.api.probes import Connection, Probing
from thalweg.errors import RejectedError, ThalwegError, UnreachableError
from thalweg.runtime.program import Program
from thalweg.sealed.redaction import Redactor
from thalweg.settings import Settings
from thalweg.wire.spec import VertexSpec
from thalweg_vertex.releases import ElsewhereError, load_pinned, prepare

MAX_REASON = 500  # characters


def main() -> None:
    """Reads the vertex, with the values of its secrets, from standard input. What the component prints goes nowhere."""
    given = sys.stdin.buffer.read()
    answers = os.dup(1)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 1)
    asked = json.loads(given)
    probing = Probing.model_validate(asked["probing"])
    try:
        found = probe(Settings(), probing, asked["secrets"])
    except ElsewhereError as error:
        os.dup2(answers, 1)
        sys.exit(subprocess.run([error.python, "-m", "thalweg_vertex.probe"], input=given, check=False).returncode)
    with os.fdopen(answers, "wb") as out:
        out.write(found.model_dump_json().encode())
    os._exit(0)  # whatever the component has left running


def probe(settings: Settings, probing: Probing, secrets: dict[str, str]) -> Connection:
    """How the connections of a vertex are. Blocking, for as long as the component takes.

    Raises:
        ElsewhereError: its release needs another interpreter.
    """
    told = Connection(vertex=probing.vertex, component=probing.component, outcome="opened")
    try:
        _open(settings, probing, secrets)
    except ElsewhereError:
        raise
    except (Exception, SystemExit) as error:
        hide = Redactor(secrets.values()).text if secrets else str
        is_away = isinstance(error, (UnreachableError, OSError, TimeoutError))
        known = error if isinstance(error, ThalwegError) else None
        reason = str(error) if known else f"{type(error).__name__}: {error}".rstrip(": ")
        update = {
            "outcome": "unreachable" if is_away else "refused",
            "reason": hide(" ".join(reason.split()))[:MAX_REASON],
            "target": hide(str(known.facts.get("target", "")))[:MAX_REASON] if known else "",
            "code": known.code if known else "probe.raised",
            "hint": hide(known.hint) if known and known.hint else None,
        }
        return told.model_copy(update=update)
    return told


def _open(settings: Settings, probing: Probing, secrets: dict[str, str]) -> None:
    mine = VertexSpec(probing.vertex, probing.component, probing.digest, probing.code, "processor", probing.params, archive=probing.archive)
    release = load_pinned(mine, prepare(settings, mine))
    if release.manifest.digest != probing.digest:
        what = f"{probing.component} is pinned as {probing.digest}, but the code here is {release.manifest.digest}"
        raise RejectedError(what, code="release.digest_mismatch")
    Program(release.component, probing.vertex, probing.params, {}, {}, {}, {}, secrets).probe()


if __name__ == "__main__":
    main()
