"""The standard library's processors."""
