"""Compares what a replay has with what evidence says of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thalweg.replay.reader import Replay
from thalweg.wire.capturing import captured_ports


def evidence_faults(replay: Replay, document: Mapping[str, Any]) -> list[str]:
    """Captured ports that have not the records that evidence, or an account, says, as lines; reads each of them."""
    if replay.spec is None:
        return ["it does not say what ran"]
    lines = []
    # A vertex that was taken away is not in the document; of one that went back, the log has more than is counted.
    counted = document["vertices"].keys() - document.get("reprocessed", {}).keys()
    for vertex, port in (one for one in captured_ports(replay.spec) if one[0] in counted):
        pinned = document["vertices"][vertex]["ports"].get(port) or {"count": 0, "digest": None}
        count, digest = replay.digest(vertex, port)
        if (count, digest if count else None) != (pinned["count"], pinned["digest"] if pinned["count"] else None):
            lines.append(f"{vertex}.{port} has {count:,} records with digest {digest[:12]}, not those of the run")
    return lines
