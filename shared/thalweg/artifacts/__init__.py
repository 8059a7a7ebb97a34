"""The workspace file store: content-addressed files and directories on S3."""

from __future__ import annotations

from thalweg.artifacts.digests import Artifact, digest_of
from thalweg.artifacts.store import Store

__all__ = ["Artifact", "Store", "digest_of"]
