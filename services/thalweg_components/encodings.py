"""Encodings of text that params may name."""

from __future__ import annotations

from typing import Literal

Encoding = Literal["utf-8", "utf-16-le", "utf-16-be", "latin-1", "ascii"]
