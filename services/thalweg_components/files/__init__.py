"""The standard library's files."""
