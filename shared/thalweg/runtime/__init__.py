"""Runs one vertex: a pure engine (messages in, commits out) and the loop that ties it to a deployment log."""
