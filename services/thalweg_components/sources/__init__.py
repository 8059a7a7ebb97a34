"""The standard library's sources."""
