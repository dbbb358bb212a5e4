"""Stored formats are frozen: what any version wrote is read by this one, byte for byte, and means what it meant.

``v1/``, ``v2/`` ... are never edited. When this version begins to write other bytes, and means to, make a new folder with
``python -m tests.golden.record vN`` and commit it beside the others; every test here runs over all of them. (Until 0.1.0 is
released nothing outside this repository was written by v1, so it may be removed and made anew.)
"""

from __future__ import annotations

import asyncio
import importlib
import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from durum.codec import EVENT_KINDS, Header, chain_hash, decode_log, encode, genesis_hash
from durum.core import events as ev
from durum.core.canonical import canonical_json, decode_json, digest_bytes
from durum.core.manifest import decode_manifest, manifest_bytes
from durum.core.plan import decode_shape
from durum.core.tree import tree_of
from durum.engine.artifacts import ArtifactReader
from durum.engine.snapshots import Snapshots
from durum.errors import CorruptionError
from durum.history.replay import reproduce
from durum.history.verify import examine
from durum.ports import StoredEvent
from durum.stores.memory import MemoryStore
from durum.testing.conformance.contract import chained
from tests.golden import record
from tests.golden.reading import HERE, RUN, VERSIONS, log, plan_of, read, store_of, summary_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NEWEST = VERSIONS[-1]
RUNS = [(version, name) for version in VERSIONS for name in read(version, "summaries.json")]
LOGS = [*RUNS, *((version, "encoded") for version in VERSIONS)]
over_runs = pytest.mark.parametrize(("version", "name"), RUNS)
over_logs = pytest.mark.parametrize(("version", "name"), LOGS)


def again(envelopes: Iterable[ev.Envelope]) -> list[StoredEvent]:
    """Return envelopes as this version stores them."""
    return [
        encode(
            envelope.event,
            Header(
                envelope.run_id,
                envelope.seq,
                envelope.ts_millis,
                envelope.state_id,
                envelope.attempt,
                envelope.epoch,
                envelope.writer,
                envelope.branch,
            ),
            bytes.fromhex(envelope.prev_hash),
        )
        for envelope in envelopes
    ]


@over_logs
def test_a_log_is_read_and_written_byte_for_byte(version: str, name: str) -> None:
    """Its hashes follow one another from the run's genesis, and decoding and encoding gives the bytes and hashes it had."""
    stored = log(version, name)
    previous = genesis_hash(RUN)
    for event in stored:
        previous = chain_hash(previous, event.body)
        assert event.hash == previous
    assert again(decode_log(RUN, stored)) == stored


@over_logs
def test_bodies_are_canonical_json(version: str, name: str) -> None:
    """Anyone with RFC 8785 and SHA-256 gets the same bytes from the same values."""
    for event in log(version, name):
        assert canonical_json(decode_json(event.body)) == event.body


def test_every_kind_of_event_was_written() -> None:
    """The newest version's runs hold each kind there is, so that a new kind needs a new golden log."""
    kinds = {json.loads(event.body)["kind"] for version, name in RUNS if version == NEWEST for event in log(version, name)}
    assert kinds == set(EVENT_KINDS)


@over_logs
def test_a_field_that_came_later_may_be_absent(version: str, name: str) -> None:
    """Whatever an event can be written without it is read without: each optional field of each kind, and all of them."""
    for item in log(version, name):
        event = decode_log(RUN, chained(genesis_hash(RUN), 1, bare(item.body, None)))[0].event
        optional = [field.name for field in msgspec.structs.fields(type(event)) if not field.required]
        for dropped in (*optional, None):
            (envelope,) = decode_log(RUN, chained(genesis_hash(RUN), 1, bare(item.body, dropped, optional)))
            for field in msgspec.structs.fields(type(event)):
                if dropped in {field.name, None} and not field.required:
                    assert getattr(envelope.event, field.name) == field.default
                else:
                    assert getattr(envelope.event, field.name) == getattr(event, field.name)


def bare(body: bytes, dropped: str | None, optional: Sequence[str] = ()) -> bytes:
    """Return an event as the first of a log, without one of its optional fields, or without any of them."""
    event = json.loads(body)
    without = [dropped] if dropped else optional
    event["body"] = {key: value for key, value in event["body"].items() if key not in without}
    return canonical_json(event | {"seq": 1})


@over_runs
def test_a_run_means_what_it_meant(version: str, name: str) -> None:
    """Folding the log gives the statuses, snapshots, facts, effects and digests it gave when it was written."""
    assert asyncio.run(summary_of(store_of(version, name))) == read(version, "summaries.json")[name]


@over_runs
def test_a_run_is_whole(version: str, name: str) -> None:
    """Verification finds nothing: every artifact and snapshot is what it was, and every event one that decide leads to."""

    async def scenario() -> None:
        store = store_of(version, name)
        reader = ArtifactReader(store)
        found = await examine(store, reader, RUN)
        result = found.result
        assert result.first_bad is None
        assert result.artifacts > 0
        assert found.stray is None

    asyncio.run(scenario())


@over_runs
def test_a_run_replays(version: str, name: str) -> None:
    """The code of its time, executed again from the record, makes the calls it made and writes what it wrote."""

    async def scenario() -> None:
        store = store_of(version, name)
        reader = ArtifactReader(store)
        found = await examine(store, reader, RUN)
        assert found.run is not None
        result = await reproduce(found, plan_of(version, name), reader)
        assert result.divergence is None
        entered = sum(isinstance(envelope.event, ev.StateEntered) for envelope in found.run.envelopes)
        assert (result.attempts + result.passed_over, result.live_calls) == (entered, 0)
        assert result.attempts

    asyncio.run(scenario())


@over_runs
def test_manifests_and_plans_are_read_and_written_byte_for_byte(version: str, name: str) -> None:
    """Their ids stand in the log, so no byte of them may change, that of a later plan included."""

    async def scenario() -> None:
        store = store_of(version, name)
        for envelope in decode_log(RUN, log(version, name)):
            match envelope.event:
                case ev.RunStarted(manifest_id=manifest_id, plan_id=plan_id):
                    data = await store.get(manifest_id)
                    assert manifest_bytes(decode_manifest(data)) == data == canonical_json(decode_json(data))
                    assert decode_manifest(data).plan_id == plan_id
                case ev.CodeChanged(plan_id=plan_id):
                    pass
                case _:
                    continue
            data = await store.get(plan_id)
            assert decode_shape(data).stored == data == canonical_json(decode_json(data))

    asyncio.run(scenario())


@over_runs
def test_snapshots_built_anew_have_the_ids_they_had(version: str, name: str) -> None:
    """Every context a run went through, built from its values alone, is the tree that was stored, node by node."""

    async def scenario() -> None:
        store = store_of(version, name)
        snapshots = Snapshots(ArtifactReader(store))
        seen = {
            snapshot_id
            for envelope in decode_log(RUN, log(version, name))
            for field in ("initial_snapshot_id", "base_snapshot_id", "context_snapshot_id", "final_snapshot_id")
            if (snapshot_id := getattr(envelope.event, field, None)) is not None
        }
        assert seen
        for snapshot_id in seen:
            written: dict[str, bytes] = {}
            content = await snapshots.content(await snapshots.tree(snapshot_id))
            tree = tree_of(content, written.__setitem__)
            assert tree.id == snapshot_id
            for node in tree.nodes():
                assert await store.get(node.id) == node.data
            for artifact_id, data in written.items():
                assert await store.get(artifact_id) == data

    asyncio.run(scenario())


@pytest.mark.parametrize("version", VERSIONS)
def test_snapshot_ids_are_the_same(version: str) -> None:
    """A context has the id it had: small and large, wide and deep, with long lists, long texts and odd numbers."""
    snapshots = read(version, "snapshots.json")
    assert len(snapshots) > 5
    for item in snapshots.values():
        assert tree_of(item["value"], lambda *_: None).id == item["id"]


@pytest.mark.parametrize("version", VERSIONS)
def test_fact_keys_are_the_same(version: str) -> None:
    """A call of the same state, namespace, request and occurrence finds the fact it was bound to."""
    assert read(version, "fact_keys.json") == record.fact_keys()


@pytest.mark.parametrize("version", VERSIONS)
def test_artifacts_have_the_ids_they_had(version: str) -> None:
    """The files of this folder themselves were not changed."""
    for artifact_id in read(version, "artifacts.json"):
        store = store_of(version, RUNS[0][1])
        assert digest_bytes(asyncio.run(store.get(artifact_id))) == artifact_id


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_later_version_wrote_is_kept_byte_for_byte(version: str) -> None:
    """Unknown kinds and newer shapes of known ones are passed on as they are: read, shown, stored again, never guessed at."""
    stored = log(version, "future")
    envelopes = decode_log(RUN, stored)
    for envelope, event in zip(envelopes, stored, strict=True):
        assert isinstance(envelope.event, ev.UnknownEvent)
        raw = msgspec.json.decode(event.body, type=dict[str, msgspec.Raw])
        assert bytes(envelope.event.body) == bytes(raw["body"])
        assert envelope.event.name == msgspec.json.decode(raw["kind"])
        assert envelope.hash == event.hash.hex()

    async def scenario() -> None:
        store = MemoryStore()
        head = await store.claim(RUN, create=True)
        await store.append(RUN, 0, head.epoch, stored)
        assert await store.read_range(RUN) == stored

    asyncio.run(scenario())


@over_runs
def test_what_a_later_version_adds_to_a_run_does_not_harm_it(version: str, name: str) -> None:
    """An unknown event before the last is passed over by fold: the run means what it meant, but for its length and chain."""

    async def scenario() -> None:
        store = store_of(version, name)
        before = await summary_of(store)
        *stored, last = log(version, name)
        alien = b'{"body":{"odd": 1},"epoch":1,"kind":"alien.landed","seq":%d,"ts_millis":1,"writer":"w"}' % last.seq
        moved = last.body.replace(b'"seq":%d' % last.seq, b'"seq":%d' % (last.seq + 1))
        run = store._backend.runs[RUN]
        run.events = stored + chained(stored[-1].hash, last.seq, alien, moved)
        after = await summary_of(store)
        assert after.pop("events") == last.seq + 1
        assert before.pop("events") == last.seq
        assert after.pop("log_digest") != before.pop("log_digest")
        assert after == before

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b'{"body":{},"epoch":1,"kind":"run.completed","seq":1,"ts_millis":1,"writer":"w"}',
        b'{"body":{"status":"happy"},"epoch":1,"kind":"run.completed","seq":1,"ts_millis":1,"writer":"w"}',
        b'{"body":{"status":"failed"},"epoch":1,"kind":"run.completed","seq":1,"ts_millis":1,"v":0,"writer":"w"}',
        b'{"body":{"status":"failed"},"epoch":1,"kind":"run.completed","seq":1,"ts_millis":1,"v":-3,"writer":"w"}',
        b'{"body":{"status":"failed"},"epoch":1,"kind":"run.completed","seq":2,"ts_millis":1,"writer":"w"}',
        b'{"body":{"status":"failed"},"epoch":"1","kind":"run.completed","seq":1,"ts_millis":1,"writer":"w"}',
        b'{"body":{"name":"\xff","payload":1},"epoch":1,"kind":"domain","seq":1,"ts_millis":1,"writer":"w"}',
    ],
)
def test_what_is_no_event_is_told_as_damage(body: bytes) -> None:
    """Well-chained bytes that are not an event in its place are refused with the event's number, never with a bare error."""
    with pytest.raises(CorruptionError, match="event 1 of run"):
        decode_log(RUN, chained(genesis_hash(RUN), 1, body))


@pytest.mark.parametrize("change", ["cut", "swap", "repeat", "start", "flip", "other run"])
def test_a_log_that_was_changed_is_not_read(change: str) -> None:
    """A missing, exchanged, repeated or changed event, a log without its beginning or under another run's name."""
    stored, run_id = log(NEWEST, "completed"), RUN
    match change:
        case "cut":
            del stored[10]
        case "swap":
            stored[3], stored[4] = stored[4], stored[3]
        case "repeat":
            stored.insert(5, stored[5])
        case "start":
            del stored[0]
        case "flip":
            stored[7] = StoredEvent(8, stored[7].hash, stored[7].body.replace(b"1", b"2", 1))
        case _:
            run_id = RUN[:-1] + "0"
    with pytest.raises(CorruptionError):
        decode_log(run_id, stored)


def test_this_version_still_writes_the_same() -> None:
    """The same run on the same world, done by today's engine, is the newest golden version, file by file.

    If it fails and the change was meant, the module's docstring says how a new version is made.
    """
    written = record.files(asyncio.run(record.runs()))
    different = [name for name, text in written.items() if text != (HERE / NEWEST / name).read_text("utf-8")]
    assert different == []


def test_versions_keep_their_own_code() -> None:
    """Each folder has all its files, and the newest was made of the code beside it."""
    for version in VERSIONS:
        module = importlib.import_module(f"tests.golden.{version}.flow")
        assert set(module.PLANS) == set(read(version, "summaries.json"))
    assert (HERE / NEWEST / "flow.py").read_text("utf-8") == (HERE / "flow.py").read_text("utf-8")
