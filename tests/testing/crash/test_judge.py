"""What the judge finds in a log by itself, beyond what verifying and replaying it do."""

from __future__ import annotations

from durum.core import events as ev
from durum.testing.crash.judge import COMPARED, Came, Fault, _record_faults, agreed, differences

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"


def envelope(seq: int, epoch: int = 1, writer: str = "one", event: ev.Event | None = None) -> ev.Envelope:
    """Return an event in its place."""
    happened = event or ev.RunResumed(actor="somebody")
    return ev.Envelope(RUN, seq, 0, happened, None, None, epoch, writer, "", "")


def fact(key: str, scope: ev.FactScope = "run", outcome: ev.FactOutcome = "success") -> ev.FactRecorded:
    """Return the outcome of a call."""
    return ev.FactRecorded(key=key, namespace="http", outcome=outcome, payload_id="0" * 64, scope=scope)


def test_a_sound_log_is_found_sound() -> None:
    """Owners follow one another, and what binds in its attempt only may come again."""
    again = [envelope(4, 2, "two", fact("a", scope="attempt")), envelope(5, 2, "two", fact("a", scope="attempt"))]
    failed = [envelope(6, 3, "three", fact("b", outcome="error")), envelope(7, 3, "three", fact("b"))]
    assert list(_record_faults([envelope(1), envelope(2), envelope(3, 2, "two"), *again, *failed])) == []


def test_an_epoch_with_two_owners_is_found() -> None:
    """Two processes that both thought they might write."""
    (found,) = _record_faults([envelope(1), envelope(2, writer="two")])
    assert found.kind == "owner"


def test_an_owner_that_wrote_after_a_later_one_is_found() -> None:
    """A process that did not hear that it was replaced."""
    (found,) = _record_faults([envelope(1), envelope(2, 2, "two"), envelope(3)])
    assert found.kind == "owner"


def test_a_fact_that_was_bound_twice_is_found() -> None:
    """A success that binds for all attempts is bound once."""
    found = list(_record_faults([envelope(1, event=fact("a")), envelope(2, event=fact("a")), envelope(3, event=fact("b"))]))
    assert found == [Fault("duplicate", "fact a was bound 2 times")]


def test_in_what_runs_differ_is_said_run_by_run() -> None:
    """By the state that started it; a child run more or less is a difference too."""
    whole, child = Came("", "completed", None, "a", "b"), Came("/f.c.spawn", "completed", None, "c", "d")
    other = Came("", "failed", None, "x", "b")
    assert list(differences([whole, child], [whole, child], COMPARED)) == []
    assert list(differences([other], [whole, child], COMPARED)) == [
        "the run has status failed, undisturbed completed",
        "the run has final_snapshot_id x, undisturbed a",
        "child run /f.c.spawn is missing",
    ]
    assert list(differences([other], [whole], ["semantic_digest"])) == []
    assert list(differences([whole, child], [whole], COMPARED)) == [
        "there is a child run /f.c.spawn, undisturbed there is none"
    ]


def test_runs_are_compared_in_what_undisturbed_ones_agree() -> None:
    """One child run that differs is enough for a field to count no more; other child runs, and nothing can be compared."""
    whole, child = Came("", "completed", None, "a", "b"), Came("/f.c.spawn", "completed", None, "c", "d")
    drawn = Came("/f.c.spawn", "completed", None, "x", "y")
    assert agreed([whole, child], [whole, child]) == COMPARED
    assert agreed([whole, child], [whole, drawn]) == ("status", "error")
    assert agreed([whole, child], [whole]) == ()
