"""The first call fails, then the second, then the third, until a run meets no fault: each ends as one that met none."""

from __future__ import annotations

import errno
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from durum.engine import recorder
from durum.errors import OutOfFilesError, StoreUnavailableError
from durum.ports import ArtifactStore, EventStore
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.stores.sqlite import SqliteStore
from durum.testing.faulty import Fault, Nth, away, failing, lost, methods_of
from tests.faults.journeys import Journey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from durum.engine.engine import Store

NEVER = 10**9
SPELL = 12  # calls in a row that fail: more than an append is tried
EVERY_SQLITE = 23


def out_of_files(reason: str) -> OSError:
    """Return what the system says to who opens one file too many."""
    return OSError(errno.EMFILE, reason)


def memory() -> Callable[[], Store]:
    """Return what opens handles on one fresh store in memory."""
    backend = MemoryBackend()
    return lambda: MemoryStore(backend)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries of an append come at once."""
    monkeypatch.setattr(recorder, "_RETRY_SECONDS", 0)


@pytest.fixture(scope="module")
def undisturbed() -> tuple[Journey, Nth]:
    """Give the run that met no fault, and every call it made."""
    plan = Nth(NEVER, Fault.NOT_DONE)
    return Journey(memory(), plan, away).go(), plan


def test_the_run_is_worth_failing(undisturbed: tuple[Journey, Nth]) -> None:
    """It calls every method there is but those of workers, of those who look on and of states that break their word."""
    journey, plan = undisturbed
    came = journey.came
    assert (came.status, journey.errors, journey.processes) == ("completed", [], 2)
    assert "eriw" in came.context["sailed"][-1]
    assert len(journey.world.journal) == 4
    assert len({key for key, _ in journey.world.journal}) == 4
    left_out = set(methods_of(EventStore, ArtifactStore)) - set(plan.calls)
    assert left_out <= {"addressed", "check_lease", "due", "exists", "get_many", "is_alive", "put", "sync"}, left_out


def faults_of(journey: Journey, undisturbed: Journey) -> list[str]:
    """Return in what a run differs from the one that met no fault."""
    came, wanted = journey.came, undisturbed.came
    faults = [] if came == wanted else [f"it came to {came}, not to {wanted}"]
    times = Counter(key for key, _ in journey.world.journal)
    faults += [f"{key} was done {count} times" for key, count in times.items() if count > 1]
    if sorted(journey.world.journal, key=str) != sorted(undisturbed.world.journal, key=str):
        faults.append(f"the world was left as {journey.world.journal}")
    return faults


@pytest.mark.parametrize(("spell", "step"), [(1, 5), (SPELL, 7), pytest.param(1, 1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", Fault)
def test_every_call_of_the_store_fails_in_turn(fault: Fault, spell: int, step: int, undisturbed: tuple[Journey, Nth]) -> None:
    """Once, and for longer than an append is tried: the run goes on, or stops with the store's error and is resumed."""
    number, met = 1, 0
    while True:
        plan = Nth(number, fault, number + spell - 1)
        journey = Journey(memory(), plan, away).go()
        if not plan.failed:
            break
        assert faults_of(journey, undisturbed[0]) == [], f"call {number}, {plan.failed}: {journey.errors}"
        assert all(isinstance(error, StoreUnavailableError) for error in journey.errors), (plan.failed, journey.errors)
        met += bool(journey.errors)
        number += step
    assert number > len(undisturbed[1].calls) * 0.9
    assert met > 2


@pytest.mark.parametrize("spell", [1, SPELL])
@pytest.mark.parametrize("fault", Fault)
def test_a_sample_of_calls_on_sqlite(fault: Fault, spell: int, undisturbed: tuple[Journey, Nth], tmp_path: Path) -> None:
    """The same there, where a handle reads again what is stored."""
    for number in range(spell, len(undisturbed[1].calls), EVERY_SQLITE):
        folder = tmp_path / str(number)
        folder.mkdir()
        plan = Nth(number, fault, number + spell - 1)
        journey = Journey(lambda folder=folder: SqliteStore(folder / "durum.db"), plan, away).go()  # type: ignore[misc]
        assert faults_of(journey, undisturbed[0]) == [], f"call {number}, {plan.failed}: {journey.errors}"


def test_no_append_is_ever_acknowledged(undisturbed: tuple[Journey, Nth]) -> None:
    """Not one, in the whole family: nothing is written twice, and no run takes itself for fenced off."""
    journey = Journey(memory(), failing("append", Fault.NOT_ACKNOWLEDGED), away).go()
    assert faults_of(journey, undisturbed[0]) == []
    assert (journey.errors, journey.processes) == ([], undisturbed[0].processes)


@pytest.mark.parametrize("error", [lost, out_of_files], ids=["line", "files"])
@pytest.mark.parametrize("fault", Fault)
def test_every_call_of_the_world_fails_in_turn(
    fault: Fault, error: Callable[[str], BaseException], undisturbed: tuple[Journey, Nth]
) -> None:
    """A failed read is tried again, what may have been done is asked about; short of files the run stops and is resumed."""
    number, met = 1, 0
    while True:
        plan = Nth(number, fault, number)
        journey = Journey(memory(), plan, error, transport=True).go()
        if not plan.failed:
            break
        assert faults_of(journey, undisturbed[0]) == [], f"call {number}: {journey.errors}"
        assert all(isinstance(each, OutOfFilesError) for each in journey.errors)
        met += bool(journey.errors)
        number += 1
    assert number > 12
    assert met >= (0 if error is lost else 11)
