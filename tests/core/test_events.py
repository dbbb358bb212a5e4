"""The shapes of events: canonical field order, tags of their own, names nobody else may use."""

from __future__ import annotations

import msgspec
import pytest

from durum.codec import EVENT_KINDS
from durum.core import events as ev
from durum.core.failure import ErrorInfo, StateError


@pytest.mark.parametrize("kind", [*EVENT_KINDS.values(), ErrorInfo, StateError])
def test_fields_stand_in_canonical_order(kind: type[msgspec.Struct]) -> None:
    """Encoding a struct gives canonical JSON only because its fields are sorted."""
    names = list(kind.__struct_fields__)
    assert names == sorted(names)


def test_kinds_are_distinct_and_of_one_version() -> None:
    """A tag names one class; a new version needs an upcast."""
    classes = [value for value in vars(ev).values() if isinstance(value, type) and issubclass(value, ev.Event)]
    stored = [cls for cls in classes if cls not in {ev.Event, ev.UnknownEvent}]
    assert sorted(cls.kind for cls in stored) == sorted(EVENT_KINDS)
    assert {cls.version for cls in stored} == {1}


def test_the_statuses_are_the_ten_of_the_design() -> None:
    """Five of them end a run."""
    assert len(ev.RunStatus) == 10
    assert len(ev.TERMINAL_STATUSES) == 5
    with pytest.raises(ValueError, match="unheard"):
        ev.RunStatus("unheard")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("state.entered", b'{"attempt":-1,"base_snapshot_id":"%s","state_id":"p.a.main"}' % (b"0" * 64)),
        ("state.entered", b'{"attempt":0,"base_snapshot_id":"%s","state_id":"p.a.main"}' % (b"G" * 64)),
        ("state.entered", b'{"attempt":0,"base_snapshot_id":"%s","state_id":"P.a.main"}' % (b"0" * 64)),
        ("state.entered", b'{"attempt":0,"state_id":"p.a.main"}'),
        ("run.completed", b'{"status":"done"}'),
        ("fact.recorded", b'{"key":"two words","namespace":"x","outcome":"success","payload_id":"x","scope":"run"}'),
    ],
)
def test_bodies_out_of_shape_do_not_decode(kind: str, body: bytes) -> None:
    """Ids, numbers and words are checked wherever an event is read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=EVENT_KINDS[kind])


def test_the_engine_s_names_are_reserved() -> None:
    """The seed's standard domain events."""
    assert {
        "fact_recorded",
        "artifact_written",
        "op_boundary",
        "child_run_spawned",
        "child_run_completed",
    } == ev.RESERVED_EVENT_NAMES
