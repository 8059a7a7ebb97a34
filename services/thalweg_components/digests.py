"""`python -m thalweg_components.digests`: pins the releases of the standard library by their digests, in `digests.json`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from thalweg.sdk.catalog import load_release
from thalweg_components import INDEX

FILE = Path(__file__).with_name("digests.json")
_HINT = "raise its version, in its module and in INDEX; while that version is in no release of Thalweg, `make digests` will do"


def current_digests() -> dict[str, str]:
    """What the code at hand has, by `name@version`."""
    return {full: load_release(full, INDEX[full]).manifest.digest for full in sorted(INDEX)}


def pinned_digests() -> dict[str, str]:
    """What the file says."""
    found: dict[str, str] = json.loads(FILE.read_text())
    return found


def differences() -> list[str]:
    """A line for each release whose code is not the pinned one, and what to do about it."""
    pinned, current = pinned_digests(), current_digests()
    changed = [f"{full} has changed: {_HINT}" for full in sorted({*pinned} & {*current}) if pinned[full] != current[full]]
    new = [f"{full} is not pinned: run `make digests`" for full in sorted({*current} - {*pinned})]
    gone = [f"{full} is gone, and who pins it cannot run any more: keep it" for full in sorted({*pinned} - {*current})]
    return changed + new + gone


def main() -> int:
    """Writes the file; with `--check`, only says what is different."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 when something is different")
    if parser.parse_args().check:
        found = differences()
        sys.stderr.write("".join(f"{line}\n" for line in found))
        return 1 if found else 0
    FILE.write_text(json.dumps(current_digests(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
