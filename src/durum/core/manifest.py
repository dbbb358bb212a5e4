"""What a run is: operation, inputs, policy and where its code came from (seed 002, ``config::RunManifest``)."""

from __future__ import annotations

import msgspec

from durum.core.canonical import canonical_json, decode_json
from durum.core.config import RunConfig
from durum.core.ids import ArtifactIdField, OpIdField, RunIdField


class BuildProvenance(msgspec.Struct, frozen=True):
    """Where the code came from. What Python has no word for in the seed (cargo, flake, rustc) has its Python counterpart."""

    git_commit: str | None = None
    git_dirty: bool | None = None
    lock_hash: ArtifactIdField | None = None  # SHA-256 of the lock file beside the code
    lock_file: str | None = None  # its name
    interpreter: str | None = None  # "CPython 3.11.7"
    platform: str | None = None  # "linux-x86_64"
    durum_version: str | None = None
    env_allowlist: tuple[str, ...] = ()  # names of the environment variables steps and processes may see
    step_digests: dict[str, ArtifactIdField] = {}  # state id -> digest of its code


class Parent(msgspec.Struct, frozen=True):
    """Which run started this one: the state ``key`` of run ``run_id``; ``depth`` is 1 where that one has no parent."""

    depth: int
    key: str
    run_id: RunIdField


class RunManifest(msgspec.Struct, frozen=True):
    """A run's identity card, stored as an artifact under the SHA-256 of its canonical JSON."""

    op_id: OpIdField
    op_version: str
    input_params: msgspec.Raw
    run_config: RunConfig
    build: BuildProvenance
    plan_id: ArtifactIdField
    allow: dict[str, tuple[str, ...]] = {}  # what transports may touch: commands, private hosts
    parent: Parent | msgspec.UnsetType = msgspec.UNSET
    given: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET  # inputs the caller named, sorted; the others are defaults


def manifest_bytes(manifest: RunManifest) -> bytes:
    """Return the canonical JSON a manifest is stored as."""
    return canonical_json(decode_json(msgspec.json.encode(manifest, enc_hook=str)))


def decode_manifest(data: bytes) -> RunManifest:
    """Return the manifest stored as ``data``."""
    return _decode(data)


_decode = msgspec.json.Decoder(RunManifest).decode  # made here: two threads that first meet a type at once crash msgspec
