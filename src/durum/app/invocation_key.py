"""Invocation keys: however often one job is asked for under its key, one run is started for it and found from then on."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import msgspec

from durum.core.canonical import JsonObject, canonical_json, decode_json, digest
from durum.errors import ConfigError, KeyReusedError, RunExistsError, RunOwnedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from durum.app.invocation import Invocation
    from durum.core.config import RunConfig
    from durum.core.manifest import RunManifest
    from durum.engine.recovery import LoadedRun
    from durum.ports import EventStore

_MAX_CHARACTERS = 512
_RULE = f"it must be 1 to {_MAX_CHARACTERS} printable characters with no space at either end"
_PATIENCE_POLLS = 1500  # half a minute, as long as a store waits for its lock
_POLL_SECONDS = 0.02
_FREE_SETTINGS = frozenset({"event_profile", "max_concurrency"})
"""Settings that change what is kept and how fast it goes, not what comes out; another machine may choose its own."""


def check_key(key: str) -> None:
    """Refuse what is no invocation key; the message never repeats it.

    Raises:
        ConfigError: it is empty (an unset shell variable would find some other job's run), too long or no plain line of text.
    """
    if key == "":
        raise ConfigError("the invocation key is empty; give each job a key of its own, or none")
    if not isinstance(key, str):
        raise ConfigError(f"the invocation key is of type {type(key).__name__}, not text; {_RULE}")
    if len(key) > _MAX_CHARACTERS:
        raise ConfigError(f"the invocation key has {len(key)} characters; {_RULE}")
    if not key.isprintable() or key != key.strip():
        raise ConfigError(f"the invocation key holds odd characters; {_RULE}")


def run_id_of(key: str, op_id: str) -> str:
    """Return the id of the one run a key starts of a workflow: a digest of the key, which itself is stored nowhere."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, digest({"key": key, "op_id": op_id})))


async def start_once(store: EventStore, run_id: str, start: Callable[[], Awaitable[object]]) -> bool:
    """Start a run unless another process does; tell whether this call did. If that one dies before it began, this one begins.

    Raises:
        RunOwnedError: another process claimed the run, lives, and did not begin it in half a minute.
    """
    while True:
        try:
            await start()
        except RunExistsError as error:
            if error.run_id != run_id:
                raise
            return False
        except RunOwnedError as error:
            if error.run_id != run_id or not await _decided(store, run_id):
                raise
        else:
            return True


async def _decided(store: EventStore, run_id: str) -> bool:
    """Wait until whoever claimed a run has begun it or is gone; False if neither comes."""
    for _ in range(_PATIENCE_POLLS):
        head = await store.head(run_id)
        if head is None or head.seq or head.owner is None or not await store.is_alive(head.owner):
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False


def refuse_other_body(run: LoadedRun, asked: Invocation) -> None:
    """Refuse a key that was used for something else. Code that changed under the same version is the same body.

    Raises:
        KeyReusedError: workflow version, inputs or settings differ; it says which, and no input's value.
    """
    manifest = run.manifest
    differences = []
    if manifest.op_version != asked.version:
        differences.append(f"version {manifest.op_version}, not {asked.version}")
    if names := _other_inputs(manifest, asked):
        differences.append(f"other inputs ({', '.join(names)})")
    if names := _other_settings(manifest.run_config, asked.config):
        differences.append(f"other settings ({', '.join(names)})")
    if differences:
        raise KeyReusedError(run.state.run_id, differences)


def _other_inputs(manifest: RunManifest, asked: Invocation) -> list[str]:
    """Return the inputs that differ. One left to its default both times is the code's, whatever the default is now."""
    before = decode_json(bytes(manifest.input_params))
    assert isinstance(before, dict)
    given = tuple(before) if manifest.given is msgspec.UNSET else manifest.given
    return sorted(name for name in {*given, *asked.given} if _value(before, name) != _value(asked.context, name))


def _value(values: JsonObject, name: str) -> bytes | None:
    return canonical_json(values[name]) if name in values else None


def _other_settings(before: RunConfig, now: RunConfig) -> list[str]:
    names = [name for name in now.__struct_fields__ if name not in _FREE_SETTINGS]
    return sorted(name for name in names if _setting(before, name) != _setting(now, name))


def _setting(config: RunConfig, name: str) -> object:
    value = getattr(config, name)
    return frozenset(value) if name == "skip_tags" else value
