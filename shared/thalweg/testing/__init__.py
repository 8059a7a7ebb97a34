"""Runs a component, a whole pipeline file or a replay in memory: no server, the same engine, the same bytes and digests."""

from __future__ import annotations

from thalweg.testing.rerun import Rerun, run_replay
from thalweg.testing.run import Result, run_component, run_graph

__all__ = ["Rerun", "Result", "run_component", "run_graph", "run_replay"]
