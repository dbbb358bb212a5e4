"""What an artifact is kept for (seed 002, ``stores::ArtifactKind``)."""

from __future__ import annotations

from enum import StrEnum


class ArtifactKind(StrEnum):
    """Classifies artifacts for retention and for people; the bytes are found by id alone."""

    MANIFEST = "manifest"
    CONTEXT_SNAPSHOT = "context_snapshot"  # nodes and values of snapshot trees
    FACT_PAYLOAD = "fact_payload"  # requests and outcomes of calls
    SECRET_PAYLOAD = "secret_payload"  # noqa: S105 - a kind, not a secret; ciphertext only
    OUTPUT = "output"
    OTHER = "other"
