"""The service starts a run once, and gives up what it owns when it is closed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import durum
from durum import Workflow
from durum.core.config import IoMode
from durum.errors import ConfigError, InvalidIdError, NotFoundError, RunExistsError, RunOwnedError
from tests.app.flows import ID, make, parked

if TYPE_CHECKING:
    from pathlib import Path

    from durum import Durum

# --- ids ----------------------------------------------------------------------------------------------------------------


def test_a_run_id_may_be_chosen_once(service: Durum) -> None:
    """Upper case is the same id; another form is refused; the same id again names the way on."""
    summary = service.start(make(), {"number": 1}, run_id=ID.upper())
    assert summary["run_id"] == ID
    with pytest.raises(RunExistsError, match=f"durum resume {ID}"):
        service.start(make(), {"number": 1}, run_id=ID)
    for wrong in ("", "mine", ID[:-1], ID + "0", f"{{{ID}}}", ID + "\n"):
        with pytest.raises(InvalidIdError, match="it must be a UUID such as"):
            service.start(make(), {"number": 1}, run_id=wrong)


def test_a_run_that_never_began_may_be_started_again(service: Durum) -> None:
    """Its process died after claiming the id and before the first event: there is nothing to resume."""
    asyncio.run(service._store.claim(ID, create=True, now_ms=1))
    asyncio.run(service._store.release(ID, 1))
    with pytest.raises(NotFoundError):
        service.show(ID)
    assert service.start(make(), {"number": 1}, run_id=ID)["status"] == "completed"


# --- ownership ------------------------------------------------------------------------------------------------------------

OWNER = """
import asyncio, sys, durum
service = durum.open(sys.argv[1])
asyncio.run(service._store.claim(sys.argv[2]))
if len(sys.argv) > 3:
    service.close()
print("claimed", flush=True)
sys.stdin.read()
"""


def test_closing_gives_up_what_a_process_owns(tmp_path: Path) -> None:
    """While it holds a run another process is told who does; once closed, the run can be taken over at once."""
    url = f"sqlite:///{tmp_path}/x.db"
    flow = Workflow("flow")
    flow.step(name="one")(lambda: "x")
    with durum.open(url) as service:
        run_id = parked(service)
        for close in (False, True):
            words = [sys.executable, "-c", OWNER, url, run_id, *(["close"] if close else [])]
            with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
                assert owner.stdout is not None
                assert owner.stdout.readline() == "claimed\n"
                if close:
                    assert service.resume(run_id, flow)["status"] == "completed"
                else:
                    with pytest.raises(RunOwnedError, match=f"is being driven by process {owner.pid} on "):
                        service.resume(run_id, flow)
                owner.communicate()


def test_a_closed_service_is_closed_once(tmp_path: Path) -> None:
    """Leaving the block closes it; closing again is no mistake."""
    with durum.open(f"sqlite:///{tmp_path}/x.db") as service:
        service.start(make(), {"number": 1})
    service.close()
    assert not list((tmp_path / "x.db.workers").glob("*.lock"))


def test_a_run_is_not_started_in_replay() -> None:
    """The mode the seed knows is no way to start: it would call out all the same."""
    with durum.open("memory://") as service:
        with pytest.raises(ConfigError, match="durum replay"):
            service.start(make(), {"number": 1}, config=durum.RunConfig(io_mode=IoMode.REPLAY))
        assert service.runs() == []
