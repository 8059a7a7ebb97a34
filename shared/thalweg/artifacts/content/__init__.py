"""What an artifact's bytes are: checks against a declared type, facts for bindings, and a guess."""

from __future__ import annotations

from thalweg.artifacts.content.guess import guess_type
from thalweg.artifacts.content.kinds import check_content, describe_content

__all__ = ["check_content", "describe_content", "guess_type"]
