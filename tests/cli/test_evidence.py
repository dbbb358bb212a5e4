"""``replay`` and ``verify``: exit 4 where something is found, and a report that says what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.flows import NOTES
from tests.cli.test_look import damage

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine
    from tests.cli.conftest import Shelf


@pytest.mark.parametrize(
    "options", [[], ["--mode", "verify"], ["--mode", "reproduce", "--with", "notes.py"], ["--with", "notes.py"]]
)
def test_the_same_code_replays_the_same(options: list[str], shelf: Shelf) -> None:
    """In both modes, with no live call; ``--with`` alone means reproduce."""
    ran = shelf.durum("replay", shelf.completed, "--json", *options)
    final = shelf.durum("show", shelf.completed, "--json").json["final_snapshot_id"]
    mode = "reproduce" if "--with" in options else "verify"
    expected = {"result": "same", "mode": mode, "live_calls": 0, "final_snapshot_id": final, "divergence": None}
    assert ran.json | expected == ran.json
    said = shelf.durum("replay", shelf.completed, *options).out
    assert said.startswith("same: ")
    assert final in said


def test_a_failed_run_replays_to_the_same_failure(shelf: Shelf) -> None:
    """Every recorded attempt is executed again; what a step prints is no data."""
    ran = shelf.durum("replay", shelf.failed, "--with", "flaky.py")
    assert ran.out.startswith("same: 2 attempts executed again from the record, 0 live calls")
    noisy = shelf.durum("replay", shelf.completed, "--with", "notes.py", "--json")
    assert "said prints this" in noisy.err
    assert noisy.json["attempts"] == 3


@pytest.mark.parametrize(
    ("was", "now", "says"),
    [
        (
            "len(said)",
            "len(said) + 1",
            ["state    length, attempt 1", "    $.length\n    - 20\n    + 21\n", "code changed since"],
        ),
        (
            '"echo", "hello"]',
            '"echo", "bye"]',
            ["what     call", '    $.request.argv[1]\n    - "hello"\n    + "bye"\n', "facts that fed it\n    exec success  "],
        ),
        ('"heard"', '"noticed"', ["what     events", '    - "heard"\n    + "noticed"\n']),
        ("def length", "def size", ["what     plan", "notes.length.main"]),
    ],
)
def test_other_code_diverges_with_a_report(was: str, now: str, says: list[str], shelf: Shelf) -> None:
    """State, call, what was expected against what came, the facts that fed it, and whether its code changed."""
    assert was in NOTES
    changed = NOTES.replace(was, now).replace("(length: int, io", "(size: int, io" if "size" in now else "(length: int, io")
    name = shelf.durum.write(f"changed_{len(was)}.py", changed.replace("str(length)", "str(1)") if "size" in now else changed)
    ran = shelf.durum("replay", shelf.completed, "--with", name, code=4)
    assert ran.out.startswith("diverged")
    for words in says:
        assert words in ran.out
    report = shelf.durum("replay", shelf.completed, "--with", name, "--json", code=4).json
    assert report["result"] == "diverged"
    assert report["divergence"]["message"]


def test_reproduce_needs_code(shelf: Shelf) -> None:
    """It is never found through the store."""
    assert "--with FILE.py" in shelf.durum("replay", shelf.completed, "--mode", "reproduce", code=2).err


def test_an_intact_record_verifies_against_a_kept_head(shelf: Shelf) -> None:
    """The head printed after a run proves that nothing was cut off."""
    head = shelf.durum("show", shelf.completed, "--json").json["head_hash"]
    ran = shelf.durum("verify", shelf.completed, "--head", head, "--json").json
    assert ran["result"] == "intact"
    assert ran["first_bad"] is None
    assert shelf.durum("verify", shelf.completed).out.startswith("intact: ")
    lost = shelf.durum("verify", shelf.completed, "--head", "0" * 64, code=4)
    assert lost.out.startswith("broken\n")
    assert "0" * 64 in lost.out


def test_a_changed_event_is_found(durum: CommandLine) -> None:
    """With its number, in words and in JSON."""
    durum.write("notes.py", NOTES)
    run_id = durum("run", "notes.py", "--input", "words=1").out.split()[0]
    damage(durum, run_id)
    found = durum("verify", run_id, "--json", code=4).json
    assert found["result"] == "broken"
    assert found["first_bad"]["seq"] == 4
    assert "event 4: it was changed" in durum("verify", run_id, code=4).out


def test_a_replay_of_many_items_does_not_name_each(durum: CommandLine) -> None:
    """The first ones and every hundredth tell how far it is; all of them are executed again."""
    text = "from durum import Workflow\nflow = Workflow('flow')\n\n"
    text += "@flow.step\ndef numbers() -> list[int]:\n    return list(range(250))\n\n"
    text += "@flow.step(each='numbers')\ndef one(item: int) -> int:\n    return item\n"
    durum.write("flow.py", text)
    run_id = durum("run", "flow.py", "--json").json["run_id"]
    replayed = durum("replay", run_id, "--with", "flow.py")
    named = [line for line in replayed.err.splitlines() if line.startswith("one[")]
    assert named == [f"one[{number}]: attempt 1 again" for number in (*range(20), 100, 200)]
    assert "same: 253 attempts executed again" in replayed.out
