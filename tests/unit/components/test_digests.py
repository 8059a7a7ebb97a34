"""A release of the standard library never changes: its code is what was pinned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thalweg_components import digests


def test_no_release_has_changed_without_a_new_version() -> None:
    found = digests.differences()
    assert not found, "\n".join(found)


def test_a_changed_a_new_and_a_missing_release_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = digests.pinned_digests()
    pinned["filter@1.0.0"] = "sha256:" + "0" * 64
    pinned["old@1.0.0"] = pinned.pop("map@1.0.0")
    (tmp_path / "digests.json").write_text(json.dumps(pinned))
    monkeypatch.setattr(digests, "FILE", tmp_path / "digests.json")
    changed, new, gone = digests.differences()
    assert changed.startswith("filter@1.0.0 has changed: raise its version") and "make digests" in changed
    assert new.startswith("map@1.0.0 is not pinned") and gone.startswith("old@1.0.0 is gone")
