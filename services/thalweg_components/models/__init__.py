"""Components that ask models."""
