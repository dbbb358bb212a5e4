"""A run's identity card."""

from __future__ import annotations

import msgspec
import pytest

from durum.core.canonical import canonical_json, decode_json
from durum.core.config import RunConfig
from durum.core.manifest import BuildProvenance, RunManifest, decode_manifest, manifest_bytes

ZERO = "0" * 64


def manifest(**more: object) -> RunManifest:
    """Return a manifest."""
    given: dict[str, object] = {
        "op_id": "flow",
        "op_version": "1",
        "input_params": msgspec.Raw(b'{"b":1,"a":"\xc3\xa9"}'),
        "run_config": RunConfig(skip_tags=("x",)),
        "build": BuildProvenance(git_commit="abc", step_digests={"flow.a.main": ZERO}),
        "plan_id": ZERO,
        "allow": {"exec": ("git",)},
    }
    return RunManifest(**{**given, **more})  # type: ignore[arg-type]


def test_a_manifest_comes_back_as_it_went() -> None:
    """Its bytes are canonical, so equal manifests have one id."""
    data = manifest_bytes(manifest())
    assert canonical_json(decode_json(data)) == data
    again = decode_manifest(data)
    assert manifest_bytes(again) == data
    assert (again.run_config, again.build, again.allow) == (manifest().run_config, manifest().build, {"exec": ("git",)})
    assert decode_json(bytes(again.input_params)) == {"a": "é", "b": 1}


def test_what_is_no_manifest_is_refused() -> None:
    """Ids are checked when it is read."""
    with pytest.raises(msgspec.ValidationError):
        decode_manifest(manifest_bytes(manifest(op_id="Not An Op")))
