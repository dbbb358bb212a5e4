"""Who is killed when."""

from __future__ import annotations

import random

from durum.testing.crash.plans import Pace, at_random, each_of, in_order, interruptions
from durum.testing.crash.task import Crossing, Kill

CLAIM = Crossing("claim", "before", "engine:1")
STARTED = Crossing("append 1 (run.started)", "after", "recorder:1")
EFFECT = Crossing("effect http mail.main", "after", "effects:1")
HELD = Crossing("append 7 (state.completed a.main)", "before", "recorder:1", held=True)
FILED = Crossing("replace", "before", "files:1")
PACE = Pace(2.0, [CLAIM] * 9)


def test_each_crossing_has_its_turn() -> None:
    """By its number in the process, whatever was done to the processes before; one at which a kill would wait has none."""
    plans = list(each_of([CLAIM, HELD, EFFECT], (Kill(crossing=5), None)))
    assert [(plan.kills, plan.crossing) for plan in plans] == [
        ((Kill(crossing=5), None, Kill(crossing=1)), CLAIM),
        ((Kill(crossing=5), None, Kill(crossing=3)), EFFECT),
    ]
    assert [plan.wanted for plan in plans] == [2, 2]


def test_what_had_its_turn_has_no_second_one() -> None:
    """The same event at another place of the log is the same boundary; another call of the source is another one."""
    later = Crossing("append 30 to 31 (run.started)", "after", "recorder:1")
    elsewhere = Crossing("claim", "before", "engine:2")
    assert [plan.crossing for plan in each_of([STARTED, later, elsewhere, CLAIM], known=[STARTED, CLAIM])] == [elsewhere]


def test_a_run_is_interrupted_where_it_leaves_something_behind() -> None:
    """With an effect nobody recorded or a file nobody named, each, and in the middle."""
    assert interruptions([CLAIM, FILED, HELD, EFFECT, STARTED]) == [Kill(crossing=2), Kill(crossing=4), Kill(crossing=3)]
    assert interruptions([CLAIM, STARTED, CLAIM]) == [Kill(crossing=2)]
    assert interruptions([]) == [Kill(crossing=1)]


def test_kills_are_handed_out_in_order() -> None:
    """Process by process, and then none."""
    take = in_order([None, Kill(crossing=2)])
    assert [take("start"), take("answer"), take("resume")] == [None, Kill(crossing=2), None]


def test_moments_are_drawn_from_a_seed() -> None:
    """By the clock and by what is crossed, within a run; whoever answers is killed now and then; a seed repeats it all."""

    def drawn(seed: int, verb: str) -> list[Kill | None]:
        draw = at_random(random.Random(seed), PACE)
        return [draw(verb) for _ in range(200)]  # type: ignore[arg-type]

    drives = drawn(1, "resume")
    assert drives == drawn(1, "resume") != drawn(2, "resume")
    seconds = [kill.seconds for kill in drives if kill is not None and kill.seconds is not None]
    crossings = [kill.crossing for kill in drives if kill is not None and kill.crossing is not None]
    assert len(seconds) + len(crossings) == 200
    assert min(len(seconds), len(crossings)) > 50
    assert (min(seconds) < 0.2, max(seconds) > 1.8, max(seconds) <= 2.0) == (True, True, True)
    assert {*crossings} == {*range(1, 10)}
    assert 20 < sum(kill is not None for kill in drawn(1, "answer")) < 80
