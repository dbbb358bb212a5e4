"""A peer answers round by round; one that cannot be had, or fails, is said to be so and measured as nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import against, environments
from bench.against import OURS, asking, compared
from bench.figures import NotMeasuredError, Value, at_least
from bench.peers import serving
from bench.plans import TEXT
from bench.rounds import Took

REQUIREMENTS = Path(environments.__file__).parent / "peers"
NO_PEER = """
import contextlib, pathlib, sys
from bench.peers.serving import serve
@contextlib.contextmanager
def ready(folder):
    print("noise")
    yield lambda: (folder / "round").write_text(sys.argv[1])
serve(ready)
"""


@pytest.fixture
def ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this Python stand for every peer's, and scripts of this test for theirs."""
    monkeypatch.setattr(against, "python_of", lambda _: sys.executable)


def test_both_sides_carry_the_same_payload() -> None:
    """The peers' environments have no Durum, so the text stands twice."""
    assert serving.TEXT == TEXT
    assert len(str(serving.VALUE)) in range(1000, 1100)


def test_an_environment_that_cannot_be_made_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As without a network; nothing is left that would pass for one."""
    monkeypatch.setattr(environments, "KEPT", tmp_path)
    monkeypatch.setattr(environments, "PIP", (*environments.PIP, "--no-index", "--find-links", str(tmp_path)))
    for _ in range(2):
        with pytest.raises(NotMeasuredError, match="the environment of dbos cannot be made: ERROR: No matching distribution"):
            environments.python_of("dbos")


def test_requirements_are_exact() -> None:
    """Every line pins one version, so that figures of two days compare."""
    for peer in ("dbos", "langgraph"):
        lines = (REQUIREMENTS / f"{peer}.txt").read_text("utf-8").splitlines()
        assert any(line.startswith(f"{peer}==") for line in lines)
        assert all(line.count("==") == 1 for line in lines)


@pytest.mark.usefixtures("ourselves")
def test_a_peer_answers_each_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder it was given, by a process that stays; what it prints is no answer."""
    package = tmp_path / "bench" / "peers"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "any_script.py").write_text(NO_PEER, encoding="utf-8")
    (package / "serving.py").write_text(Path(serving.__file__).read_text("utf-8"), encoding="utf-8")
    monkeypatch.setattr(against, "ROOT", tmp_path)
    with asking("any", "any_script", "word") as ask:
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            assert ask(folder).clock > 0
            assert (folder / "round").read_text() == "word"


@pytest.mark.usefixtures("ourselves")
def test_a_peer_that_fails_is_a_reason(tmp_path: Path) -> None:
    """With the last it said."""
    with (
        asking("any", "no_such_script") as ask,
        pytest.raises(NotMeasuredError, match=r"the peer failed: .*No module named bench\.peers\.no_such_script"),
    ):
        ask(tmp_path)


def test_the_bounds_are_those_of_the_first_peer() -> None:
    """How many times as long the peer took; a second one stands beside it for comparison."""
    took = {OURS: [Took(1.0, 0.5)], "first": [Took(4.0, 1.0)], "second": [Took(2.0, 1.0)]}
    first, second = compared("a run", took, 100, at_least(2, 3))
    assert (first.measure, first.value, first.bounds) == ("a run, against first", Value(4.0, 4.0, 4.0), at_least(2, 3))
    assert (second.value.median, second.bounds) == (2.0, None)
    assert first.note == ("durum 100 states/s at 5000 us of the processor, first 25 states/s at 10000 us of the processor")
