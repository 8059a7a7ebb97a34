"""Sinks that deliver to servers outside, one release a file; each record delivered is proved by a receipt."""
