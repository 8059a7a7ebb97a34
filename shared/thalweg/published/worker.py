"""`python -m thalweg.published.worker FOLDER`: runs the checks of one release's code, a request and a reply a line, as JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thalweg.errors import RejectedError, ThalwegError
from thalweg.graph.parse import parse_type
from thalweg.graph.types import format_type
from thalweg.published.loading import load_all, load_published
from thalweg.sdk.release import ComponentRelease

MAX_WRITTEN_BYTES = 64 << 20


def main() -> None:
    """Answers until its input ends. What the code prints goes nowhere near the replies."""
    folder = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_WRITTEN_BYTES, MAX_WRITTEN_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    work = _Work(folder)
    for line in sys.stdin.buffer:
        replies.write(json.dumps(_answer(work, json.loads(line))).encode() + b"\n")
        replies.flush()


class _Work:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, ComponentRelease] = {}

    def describe(self) -> list[dict[str, Any]]:
        """The manifest of every release, and whether checks of it need its code."""
        found = []
        for one in load_all(self._folder):
            is_static = one.component.params is None and not hasattr(one.component.target, "resolve_types")
            found.append({"manifest": one.manifest.model_dump(mode="json"), "is_static": is_static})
        return found

    def check(self, component: str, code: str, params: dict[str, Any]) -> dict[str, Any]:
        """As `Release.check_params`."""
        checked, faults = self._release(component, code).check_params(params)
        return {"params": checked, "faults": [[one.path, one.message, one.missing] for one in faults]}

    def resolve(self, component: str, code: str, params: dict[str, Any], inputs: dict[str, str], files: dict[str, str]) -> dict[str, str]:
        """As `Release.resolve`, with types as text."""
        kinds = {port: parse_type(text) for port, text in inputs.items()}
        found = self._release(component, code).resolve(params, kinds, {slot: Path(path) for slot, path in files.items()})
        return {port: format_type(kind) for port, kind in found.items()}

    def _release(self, component: str, code: str) -> ComponentRelease:
        if component not in self._loaded:
            self._loaded[component] = load_published(component, self._folder, code)
        return self._loaded[component]


def _answer(work: _Work, request: dict[str, Any]) -> dict[str, Any]:
    asked: dict[str, Callable[..., Any]] = {"describe": work.describe, "check": work.check, "resolve": work.resolve}
    try:
        return {"ok": asked[request.pop("do")](**request)}
    except ThalwegError as error:
        return {"error": {"message": str(error), "code": error.code, "hint": error.hint}}
    except (Exception, SystemExit) as error:  # whatever the author's code raises
        told = RejectedError(f"{type(error).__name__}: {error}", code="component.raised")
        return {"error": {"message": str(told), "code": told.code, "hint": None}}


if __name__ == "__main__":
    main()
