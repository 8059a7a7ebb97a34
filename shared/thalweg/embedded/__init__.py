"""Servers on this machine for those who have none: nats-server, S3, processes that are started again when they die."""

from __future__ import annotations

from thalweg.embedded.process import ManagedProcess
from thalweg.embedded.stack import EmbeddedStack

__all__ = ["EmbeddedStack", "ManagedProcess"]
