"""Runs a component, or a whole pipeline file, in memory: no server, the same engine, the same bytes and digests."""

from __future__ import annotations

from thalweg.testing.run import Result, run_component, run_graph

__all__ = ["Result", "run_component", "run_graph"]
