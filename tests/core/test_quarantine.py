"""When a run whose drivers keep dying is stopped, and what counts as coming on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from durum.core import events as ev
from durum.core.quarantine import MOST_ORPHANS, MOST_STRIKES, quarantine
from tests.core.handmade import Log, shape

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = 9


class Dying(Log):
    """A log in which each attempt of one step is cut off by the death of its owner, in an epoch of its own."""

    epoch = EPOCH - MOST_STRIKES

    def envelope(self, event: ev.Event, name: str | None = None, attempt: int | None = None) -> ev.Envelope:
        """Return the envelope an event would get next."""
        return msgspec.structs.replace(super().envelope(event, name, attempt), epoch=self.epoch)

    def die(self, times: int) -> Dying:
        """Begin an attempt as often, each in the next epoch; the last one is left open."""
        for number in range(times):
            if number:
                self.epoch += 1
                self.fail("b", "orphan_attempt_recovered")
            self.enter("b")
        return self


def verdict(log: Log, strikes: int = MOST_STRIKES) -> ev.RunPaused | None:
    """Return what stops a run that was just claimed."""
    return quarantine(log.envelopes, log.state, EPOCH, strikes)


def dying() -> Dying:
    """Return a run of which one step is over and the next one killed all five owners."""
    log = Dying(shape({"a": "", "b": "a", "c": ""}))
    log.epoch -= 1
    log.run("a")
    log.epoch += 1
    return log.die(MOST_STRIKES)


def test_the_sixth_claim_without_progress_stops_the_run() -> None:
    """Five owners died in a row and nothing came of it; what stops it says so, and in which state."""
    stopped = verdict(dying())
    assert stopped == ev.RunPaused(
        actor="durum", quarantined=True, reason="the process that drove it died 5 times in a row, in p.b.main"
    )


@pytest.mark.parametrize("strikes", range(MOST_STRIKES))
def test_fewer_deaths_stop_nothing(strikes: int) -> None:
    """A machine may fail now and then."""
    assert verdict(dying(), strikes) is None


CAME_ON: dict[str, Callable[[Log], Log]] = {
    "a state completed": lambda log: log.run("c"),
    "a fact was bound for good": lambda log: log.fact("b", "k"),
    "an effect was settled": lambda log: log.intend("b", "k", "e").ask("b", "e").answer("b", happened=True).enter("b"),
    "an attempt failed by itself": lambda log: log.fail("b"),
}
STAYED: dict[str, Callable[[Log], Log]] = {
    "a fact of one attempt": lambda log: log.fact("b", "k", scope="attempt"),
    "an effect was begun": lambda log: log.intend("b", "k", "e"),
    "something was reported": lambda log: log.add(ev.DomainEvent(name="x", payload=msgspec.Raw(b"1")), "b", log.now("b")),
    "it was resumed": lambda log: log.add(ev.RunPaused(actor="ann")).add(ev.RunResumed(actor="ann")),
}


@pytest.mark.parametrize("what", CAME_ON)
def test_a_run_that_came_on_is_driven(what: str) -> None:
    """However slowly: in any of the five epochs is enough."""
    log = Dying(shape({"b": "", "c": ""})).die(1)
    assert verdict(log) is not None
    assert verdict(CAME_ON[what](log)) is None


@pytest.mark.parametrize("what", STAYED)
def test_what_each_attempt_can_do_anew_is_no_progress(what: str) -> None:
    """A step that reads the clock before it kills its process would otherwise go on for ever."""
    assert verdict(STAYED[what](dying())) is not None


def test_progress_before_the_five_is_no_progress() -> None:
    """What came on in an epoch before them does not count."""
    log = dying()
    early = msgspec.structs.replace(log.envelopes[-1], epoch=EPOCH - MOST_STRIKES - 1)
    assert quarantine([early, *log.envelopes], log.state, EPOCH, MOST_STRIKES) is not None


def test_ever_new_facts_do_not_keep_a_run_alive() -> None:
    """A step that asks something else each time comes on by that; after twenty attempts it is stopped all the same."""
    log = Dying(shape({"b": ""}))
    for number in range(MOST_ORPHANS):
        log.epoch = EPOCH - 1
        if number:
            log.fail("b", "orphan_attempt_recovered")
        assert verdict(log) is None or number == 0
        log.enter("b").fact("b", f"k{number}")
    stopped = verdict(log)
    assert stopped is not None
    assert "died 20 times" in stopped.reason


def test_a_run_at_rest_names_no_state() -> None:
    """Whatever killed its owners was not a step."""
    log = Dying(shape({"b": ""}))
    log.epoch = EPOCH
    stopped = quarantine([], log.state, EPOCH, 7)
    assert stopped is not None
    assert stopped.reason == "the process that drove it died 7 times in a row, in no state"
