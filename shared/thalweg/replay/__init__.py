"""Replays: deployment logs recorded in MCAP files, read again, checked, compared."""
