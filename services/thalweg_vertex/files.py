"""Fetches what a vertex is given before it starts, stores the files it generated when it has drained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.runtime.assemble import in_rank_order
from thalweg.runtime.loop import Left
from thalweg.runtime.opening import Opening
from thalweg.runtime.recorded_order import RecordedOrder
from thalweg.sdk.release import ComponentRelease
from thalweg.settings import Settings
from thalweg.wire.commit import Generated
from thalweg.wire.spec import OPENING, VertexSpec

if TYPE_CHECKING:
    from thalweg.artifacts import Store

MAX_UNDECLARED = 20  # named in the commit, which is one header


def fetch_files(settings: Settings, mine: VertexSpec, lease: str) -> dict[str, Path]:
    """Local paths of the bound files, as the deployment's owner sees them; digests checked."""
    if not mine.files:
        return {}
    store = store_of(settings, lease)
    return {slot: store.fetch(file.artifact, file.name) for slot, file in mine.files.items()}


def fetch_order(settings: Settings, mine: VertexSpec, release: ComponentRelease, lease: str) -> RecordedOrder | None:
    """The order in which it is to take its inputs, out of the replay of another run; None where its own rule decides."""
    if mine.follows is None:
        return None
    from thalweg.replay.ordering import order_of
    from thalweg.replay.reader import Replay

    path = store_of(settings, lease).fetch(mine.follows.replay.artifact, mine.follows.replay.name)
    return order_of(Replay(path), mine, in_rank_order(mine, release), mine.follows.edges)


def opening_of(mine: VertexSpec, files: dict[str, Path]) -> Opening | None:
    """What a source puts out before its own records, where that is bound; taken out of its files.

    Raises:
        RejectedError: it cannot be read.
    """
    path = files.pop(OPENING, None)
    if path is None:
        return None
    from thalweg.replay.feeds import open_feed, values_after  # what few vertices need

    return partial(values_after, open_feed(path, mine.files[OPENING].name), mine.name)


def upload_generated(settings: Settings, mine: VertexSpec, paths: dict[str, Path], folder: Path, owner: Callable[[], str]) -> Left:
    """Stores every generated file; says which are missing, and what else is in the folder.

    Args:
        settings, mine: where to, whose.
        paths: by slot.
        folder: holds them, and nothing else that is declared.
        owner: asked for the lease that owns the deployment now: it may be promoted while it runs.
    """
    lease = owner()
    while True:
        left = _upload(store_of(settings, lease), mine, paths, folder)
        if (now := owner()) == lease:
            return left
        lease = now


def _upload(store: Store, mine: VertexSpec, paths: dict[str, Path], folder: Path) -> Left:
    found = dict[str, Generated]()
    store.ensure_bucket()
    for slot, path in paths.items():
        if not path.exists():
            continue
        artifact = store.put_directory(path) if path.is_dir() else store.put_file(path)
        found[slot] = Generated(mine.generated[slot], artifact.id, artifact.size_bytes)
    declared = set(paths.values())
    files = (path for path in sorted(folder.rglob("*")) if not path.is_dir())
    undeclared = [str(path.relative_to(folder)) for path in files if not declared & {path, *path.parents}]
    return Left(found, [slot for slot in paths if slot not in found], undeclared[:MAX_UNDECLARED])


def store_of(settings: Settings, lease: str = "") -> Store:
    """The file store as a lease sees it; loads what talks to it."""
    from thalweg.artifacts import Store  # boto3 costs a vertex without files 20 MB and 0.15 s

    return Store.of(settings, lease)
