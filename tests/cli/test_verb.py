"""The border where errors become one line and an exit code."""

from __future__ import annotations

import errno

import pytest

from durum.cli.verb import Session
from durum.errors import (
    ConcurrencyError,
    ConfigError,
    CorruptionError,
    DurumError,
    NotFoundError,
    StepError,
    StoreUnavailableError,
)

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("run", "x"), 2),
        (CorruptionError("event 3", "it is gone"), 4),
        (StoreUnavailableError("x.db", "locked"), 1),
        (ConcurrencyError(RUN, 1, 2, 1, 2), 1),
        (StepError("no"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: DurumError, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The caller's fault 2, damage 4, the world's and a run's 1."""

    def work() -> int:
        raise error

    assert Session().guard(work) == code
    said = capsys.readouterr()
    assert said.err == f"error: {error}\n"
    assert said.out == ""
    assert Session(json=True).guard(work) == code
    assert f'"code":"{error.code}"' in capsys.readouterr().out


def test_a_process_without_files_is_told_which_limit_to_raise(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever wanted the file: its name would only lead astray."""

    def work() -> int:
        raise OSError(errno.EMFILE, "Too many open files", "/some/where.py")

    assert Session(json=True).guard(work) == 1
    said = capsys.readouterr()
    assert "ulimit -n" in said.err
    assert "where.py" not in said.err
    assert '"code":"out_of_files"' in said.out


def test_a_bug_is_a_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    """With the way to its traceback."""

    def work() -> int:
        return 1 // 0

    assert Session().guard(work) == 1
    assert "unexpected ZeroDivisionError" in (line := capsys.readouterr().err)
    assert "--debug" in line
    assert line.count("\n") == 1
    assert Session(debug=True).guard(work) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_outside_a_run_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """As the shell has it: 128 and the signal's number."""

    def work() -> int:
        raise KeyboardInterrupt

    assert Session().guard(work) == 130
    assert capsys.readouterr() == ("", "")


def test_commands_name_the_store_unless_it_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a printed command works in another shell as well."""
    monkeypatch.delenv("DURUM_STORE", raising=False)
    assert Session().command("ls") == "durum ls"
    assert Session(store="sqlite:///a b.db").command("ls") == "durum ls --store 'sqlite:///a b.db'"
    monkeypatch.setenv("DURUM_STORE", "sqlite:///env.db")
    assert Session().command("ls") == "durum ls --store sqlite:///env.db"


def test_what_people_typed_is_not_repeated_where_it_is_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """A store's URL with a password, a token in the wrong place: neither in the line, nor in JSON, nor in a traceback."""

    def work() -> int:
        raise NotFoundError("run", "ghp_" + "a1B2" * 9) from ConfigError("postgres://admin:hunter2@db/app password='hunter2'")

    for session in (Session(), Session(json=True), Session(debug=True)):
        session.guard(work)
        said = "".join(capsys.readouterr())
        assert "no run [secret]" in said
        assert "hunter2" not in said
        assert "a1B2a1B2" not in said
