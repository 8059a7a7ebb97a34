"""Talks to a running stack: asks the coordinator, stores deployments, follows runs."""

from thalweg.client.session import Session, open_session

__all__ = ["Session", "open_session"]
