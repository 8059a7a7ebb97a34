"""The workspace file store: typed, content-addressed files and directories on S3."""

from __future__ import annotations

from thalweg.artifacts.content import check_content, describe_content, guess_type
from thalweg.artifacts.digests import Artifact, digest_of
from thalweg.artifacts.records import ArtifactRecord, Provenance
from thalweg.artifacts.store import Store

__all__ = ["Artifact", "ArtifactRecord", "Provenance", "Store", "check_content", "describe_content", "digest_of", "guess_type"]
