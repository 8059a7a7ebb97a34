"""Talks to a running stack: stores deployments, follows runs."""
