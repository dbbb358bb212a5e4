"""``doctor``: fit machines and stores pass, others are named."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from durum.cli import doctor
from tests.cli.flows import NOTES
from tests.cli.test_look import damage

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine, Ran


def results(ran: Ran) -> dict[str, str]:
    """Return the result of each check."""
    return {check["name"]: check["result"] for check in ran.json["checks"]}


def test_it_works_before_there_is_a_store(durum: CommandLine) -> None:
    """And leaves nothing behind."""
    ran = durum("doctor")
    assert "the first run makes it" in ran.out
    assert all(line[0] in "✓!" for line in ran.out.splitlines())
    assert list(durum.folder.iterdir()) == []


def test_it_counts_the_runs(durum: CommandLine) -> None:
    """A healthy store is ok in every check."""
    durum.write("notes.py", NOTES)
    durum("run", "notes.py", "--input", "words=1")
    ran = durum("doctor", "--json")
    assert ran.json["result"] == "healthy"
    assert results(ran)["store"] == "ok"
    assert "holds 1 run" in durum("doctor").out


def test_a_weaker_durability_is_a_warning(durum: CommandLine) -> None:
    """It was asked for, so the store is healthy; what it can lose is said."""
    ran = durum("doctor", "--store", "sqlite:///x.db?durability=normal", "--json")
    assert ran.json["result"] == "healthy"
    assert results(ran)["durability"] == "warning"
    assert results(durum("doctor", "--json"))["durability"] == "ok"
    assert "a power cut can lose the last commits" in durum("doctor", "--store", "sqlite:///x.db?durability=normal").out
    assert "durability 'off'" in durum("doctor", "--store", "sqlite:///x.db?durability=off", code=4).out


def test_an_unfit_place_is_a_problem(durum: CommandLine) -> None:
    """Below a regular file no store can be."""
    durum.write("file", "")
    ran = durum("doctor", "--store", "sqlite:///file/x.db", "--json", code=4)
    assert ran.json["result"] == "problems"
    assert results(ran)["store place"] == "problem"
    assert "not a store this version has" in durum("doctor", "--store", "mysql://x", code=4).out


def test_a_store_that_cannot_be_read_is_a_problem(durum: CommandLine) -> None:
    """Foreign, of a newer version, or with a damaged run."""
    durum.write("foreign.db", "text")
    assert "no SQLite database" in durum("doctor", "--store", "sqlite:///foreign.db", code=4).out
    durum.write("notes.py", NOTES)
    run_id = durum("run", "notes.py", "--input", "words=1").out.split()[0]
    damage(durum, run_id)
    ran = durum("doctor", code=4)
    assert f"1 of 1 run cannot be read: {run_id}" in ran.out
    connection = sqlite3.connect(durum.path(".durum/durum.db"))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "newer Durum" in durum("doctor", code=4).out


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/me/my\\040disk xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "result", "says"),
    [("/srv", "ok", "ext4"), ("/home/me", "warning", "nfs4 is a network file system"), ("/home/me/my disk/x", "ok", "xfs")],
)
def test_a_network_file_system_is_a_warning(
    folder: str, result: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The innermost mount counts."""
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS, encoding="utf-8")
    monkeypatch.setattr(doctor, "_MOUNTS", mounts)
    (check,) = doctor._file_system(Path(folder))
    assert check.result == result
    assert check.detail.startswith(says)


def test_a_system_that_does_not_tell_its_mounts_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as macOS."""
    monkeypatch.setattr(doctor, "_MOUNTS", tmp_path / "none")
    assert list(doctor._file_system(tmp_path)) == []
