"""Yanked releases: who pins one keeps it, and is warned."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.releasing import pinning, publish, write
from thalweg.api import backends as backends_api
from thalweg.api import components as api
from thalweg.artifacts import Store
from thalweg.client import Session
from thalweg.errors import RejectedError


async def test_who_pins_a_yanked_release_keeps_it_and_is_warned(session: Session, store: Store, name: str, tmp_path: Path) -> None:
    for version in ("1.0.0", "1.1.0", "2.0.0-rc.1"):
        await publish(session, store, write(tmp_path / "a", name, version))
    await session.ask(backends_api.EDIT, pinning(name, f"{name}@1.0.0"))
    ask = api.Yank(component=f"{name}@1.0.0", author="ada", reason="loses records")
    found = await session.ask(api.YANK, ask)
    assert found.release.yanked == "loses records" and found.pinned_by == [f"{name}: source"]
    shown = await session.ask(backends_api.SHOW, backends_api.Which(backend=name))
    assert shown.deployable and "is yanked: loses records; newer: 1.1.0" in shown.warnings[0]
    (line,) = (await session.ask(api.OUTDATED, api.AskOutdated(backend=name))).vertices
    assert line.newer == ["1.1.0"] and line.yanked == "loses records"
    await session.ask(api.YANK, api.Yank(component=f"{name}@1.1.0", author="ada"))
    await session.ask(api.YANK, api.Yank(component=f"{name}@2.0.0-rc.1", author="ada"))
    document = {"vertices": {"source": {"component": name}}}
    unpinned = backends_api.Apply(backend=f"{name}-b", author="ada", document=document, pin_latest=True)
    assert not (await session.ask(backends_api.APPLY, unpinned)).deployable
    await session.ask(api.YANK, api.Yank(component=f"{name}@1.1.0", author="ada", undo=True))
    pinned = await session.ask(backends_api.APPLY, unpinned)
    assert pinned.deployable and not pinned.warnings
    assert f"{name}@1.1.0" in str(pinned.changes)
    with pytest.raises(RejectedError) as refused:
        await session.ask(api.YANK, api.Yank(component="filter@1.0.0", author="eve"))
    assert refused.value.code == "release.unknown"
