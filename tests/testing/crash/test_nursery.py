"""Processes come from the nursery, end as they end, and none is left behind."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from durum.errors import ConfigError
from durum.testing.crash.nursery import Nursery
from durum.testing.crash.task import Crossing, Kill, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

FLOWS = Path(__file__).parent / "flows.py"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Give the real one."""
    found = Nursery(["durum.testing.crash"])
    yield found
    found.close()


def task(folder: Path, flow: str, kill: Kill | None = None, patience_seconds: float = 60.0) -> Task:
    """Return a run to be started."""
    run_id = str(uuid.uuid4())
    return Task("start", str(folder), str(folder), run_id, f"{FLOWS}:{flow}", kill=kill, patience_seconds=patience_seconds)


def test_a_task_is_done_in_a_process_of_its_own(tmp_path: Path, nursery: Nursery) -> None:
    """It ends with code 0, and the next one knows nothing of it."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        assert nursery.run(task(tmp_path / name, "sound")).code == 0


def test_a_process_kills_itself_at_its_crossing(tmp_path: Path, nursery: Nursery) -> None:
    """With SIGKILL, at the very one that was asked for."""
    assert nursery.run(task(tmp_path, "sound", Kill(crossing=9))).code == -9
    crossings = (tmp_path / "crossings").read_bytes().splitlines()
    assert len(crossings) == 9
    assert msgspec.json.decode(crossings[-1], type=Crossing).name


def test_a_process_kills_itself_when_its_time_has_come(tmp_path: Path, nursery: Nursery) -> None:
    """Whatever it is doing, even in the middle of a step that never ends."""
    (tmp_path / "stuck").touch()
    assert nursery.run(task(tmp_path, "stuck", Kill(seconds=0.3))).code == -9


def test_a_process_that_hangs_is_ended(tmp_path: Path, nursery: Nursery) -> None:
    """After its patience, and it is said that it hung."""
    (tmp_path / "stuck").touch()
    ended = nursery.run(task(tmp_path, "stuck", patience_seconds=0.5))
    assert (ended.code, ended.hung) == (-9, True)


def test_what_is_refused_is_said(tmp_path: Path, nursery: Nursery) -> None:
    """In the file for what processes print, with an exit code that is no signal."""
    assert nursery.run(task(tmp_path, "nothing")).code == 3
    assert "has no workflow nothing" in (tmp_path / "said").read_text()


def test_a_file_named_like_a_library_stands_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a workflow there may lie a ``select.py`` or a ``msgspec.py``; a harness may lie there too."""
    for name in ("select", "msgspec", "durum"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not me')\n")
    (tmp_path / "own_harness.py").write_text("from durum.testing.crash import Harness, serve\nserve(Harness())\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = Nursery(["own_harness"])
    (tmp_path / "a").mkdir()
    assert found.run(task(tmp_path / "a", "tiny")).code == 0
    found.close()


@pytest.mark.parametrize(("harness", "said"), [("no_such_module", "No module named no_such_module"), ("this", "exit code 0")])
def test_a_harness_that_serves_nothing_is_named(tmp_path: Path, harness: str, said: str) -> None:
    """A module that is not there, or ends by itself, is the caller's mistake and told in one sentence."""
    found = Nursery([harness])
    with pytest.raises(ConfigError, match=f"python -m {harness} serves no crash test; .*{said}"):
        found.run(task(tmp_path, "sound"))
    found.close()
