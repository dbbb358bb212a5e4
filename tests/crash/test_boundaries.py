"""Killed at every boundary there is, found in the source: a run that is resumed ends as one that nobody killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from durum.testing.crash import CrashReport, crash_test
from durum.testing.crash.boundaries import FILE_CALLS, WRITING
from durum.testing.crash.judge import COMPARED
from tests.crash.failpoints import Failpoint, failpoints, hidden

if TYPE_CHECKING:
    from pathlib import Path

TARGET = "tests.workflows.rich:flow"
HARNESS = ("tests.crash.doubles", "rich")

# Calls that a run of this workflow does not come to, and what looks at them.
ELSEWHERE = {
    "durum.app.worker self._store.claim": "a worker tidies up after a run that was over: tests/app/test_worker.py",
    "durum.app.worker self._store.release": "as above",
    "durum.engine.recorder self._store.sync": "a state that breaks its word: tests/engine/test_recorder_unsynced.py",
    "durum.stores.database note_of_doubt(self.path).unlink": "a disk that failed: tests/stores/test_database_log.py",
    "durum.stores.sqlite_file os.fsync": "somebody else has the store open: tests/faults/test_sync_behind.py",
    "durum.stores.sqlite_file connection.execute": "an older store is changed: tests/stores/test_sqlite_file_changes.py",
}


class Outcome(NamedTuple):
    """The failpoints of the source, and what came of a kill at each boundary."""

    points: list[Failpoint]
    report: CrashReport


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Give what came of it; the source is read when it is loaded, for somebody may be at work on it."""
    desk: Path = tmp_path_factory.mktemp("desk")
    return Outcome(failpoints(), crash_test(TARGET, every_boundary=True, scratch=desk, jobs=2, harness=HARNESS))


@pytest.mark.slow
def test_killed_at_every_boundary_a_run_ends_as_if_nothing_had_happened(tested: Outcome) -> None:
    """Before and after every commit, call, effect and file: nothing is lost, each effect done once, the outcome the same."""
    report = tested.report
    assert report.faults == []
    assert report.compared == COMPARED
    assert [str(boundary.crossing) for boundary in report.boundaries if not boundary.met] == []
    assert report.kills >= len(report.boundaries) > 200
    assert min(report.answers["happened"], report.answers["did_not_happen"]) > 0


@pytest.mark.slow
def test_no_failpoint_of_the_source_is_left_out(tested: Outcome) -> None:
    """Whoever adds a commit, an effect or a file to the engine, the application or the store finds it missing here."""
    crossed = {(boundary.crossing.site, boundary.crossing.when) for boundary in tested.report.boundaries}
    missing = [
        f"{point} ({when})"
        for point in tested.points
        if f"{point.module} {point.called}" not in ELSEWHERE
        for when in ("before", "after")
        if not any(point.is_at(site) and side == when for site, side in crossed)
    ]
    assert missing == []


def test_the_source_hides_no_failpoint() -> None:
    """A store's writing method is always called where it is named, so that the search above finds it."""
    assert hidden() == []


def test_the_search_finds_what_there_is() -> None:
    """Commits, ports, live calls and file calls stand in the source at all, and every exemption is needed."""
    called = {point.called.rpartition(".")[2] for point in failpoints()}
    assert {"append", "claim", "release", "send", "put_stream", "outcome_of", "fsync", "execute"} <= called
    assert called <= {*WRITING, *FILE_CALLS, "outcome_of", "execute", "executescript"}
    assert ELSEWHERE.keys() <= {f"{point.module} {point.called}" for point in failpoints()}
