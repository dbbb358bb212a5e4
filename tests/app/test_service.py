"""The service behaves the same wherever it is called from, and finds runs by what people have at hand."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import pytest

import durum
from durum import ExecutionPlan, Workflow
from durum.core.config import IoMode
from durum.errors import (
    ConfigError,
    InvalidIdError,
    InvalidInputError,
    NotFoundError,
    PlanChangedError,
    RunExistsError,
    RunOwnedError,
    TargetError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durum import Durum

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")


class Given(TypedDict):
    """An input."""

    number: int


def make(result: int = 1) -> Workflow:
    """Return a workflow of one step."""
    flow = Workflow("flow", inputs=Given)

    @flow.step
    def one(number: int) -> int:
        return number + result

    return flow


@pytest.fixture
def service() -> Iterator[Durum]:
    """A store in memory."""
    with durum.open("memory://") as opened:
        yield opened


# --- where it is called from ----------------------------------------------------------------------------------------------


def test_it_works_inside_a_running_event_loop(service: Durum) -> None:
    """As in a notebook, where a loop always runs: results, errors and context variables cross over."""

    async def cell() -> tuple[object, object]:
        WHO.set("me")
        summary = service.start(make(), {"number": 1}, on_started=lambda _: seen.append(WHO.get()))
        with pytest.raises(InvalidInputError):
            service.start(make(), {"number": "x"})
        return summary["status"], service.context(str(summary["run_id"]), "one")

    seen: list[str] = []
    assert asyncio.run(cell()) == ("completed", 2)
    assert seen == ["me"]


NOTEBOOK = """
import asyncio, sys, threading, time
import durum

flow = durum.Workflow("flow")

@flow.step
async def forever() -> int:
    print("begun", flush=True)
    await asyncio.sleep(60)
    return 1

async def cell():
    with durum.open(sys.argv[1]) as service:
        try:
            service.start(flow, run_id=sys.argv[2])
        except KeyboardInterrupt:
            print(service.show(sys.argv[2])["status"], [thread.name for thread in threading.enumerate()])

loop = asyncio.new_event_loop()
loop.run_until_complete(cell())
"""


def test_the_stop_button_of_a_notebook_ends_the_run(tmp_path: Path) -> None:
    """It is handed back like one stopped by Ctrl-C, and no thread goes on with it in the background."""
    url = f"sqlite:///{tmp_path}/x.db"
    process = subprocess.Popen(
        [sys.executable, "-c", NOTEBOOK, url, ID], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert out == "interrupted ['MainThread']\n"
    with durum.open(url) as service:
        assert service.show(ID)["status"] not in {"completed", "failed"}


# --- ids and keys ---------------------------------------------------------------------------------------------------------


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


def test_a_key_starts_one_run_and_finds_it_from_then_on(service: Durum) -> None:
    """Of that workflow; the run is returned as it stands, whatever the inputs are this time."""
    first = service.start(make(), {"number": 1}, key="job-7")
    assert "attached" not in first
    again = service.start(make(), {"number": 99}, key="job-7")
    assert (again["attached"], again["run_id"]) == (True, first["run_id"])
    assert {**again, "attached": None} == {**first, "attached": None}
    other = Workflow("other")
    other.step(name="one")(lambda: 1)
    assert service.start(other, key="job-7")["run_id"] != first["run_id"]
    assert service.start(make(), {"number": 1}, key="job-8")["run_id"] != first["run_id"]
    assert len(service.runs()) == 3
    with pytest.raises(InvalidInputError):
        service.start(make(), {"number": "x"}, key="job-7")
    assert not any("job-7" in str(row) for row in service.events(str(first["run_id"])))


def test_an_empty_key_is_refused(service: Durum) -> None:
    """An unset shell variable would find some other job's run."""
    with pytest.raises(ConfigError, match="the invocation key is empty; give each job a key of its own, or none"):
        service.start(make(), {"number": 1}, key="")
    assert service.runs() == []


def test_starts_of_one_key_at_once_make_one_run(tmp_path: Path) -> None:
    """Each in a handle of its own: one begins it, the others find it, none fails."""
    free = threading.Event()
    flow = Workflow("flow")
    flow.step(name="one", blocking=True)(lambda: free.wait(20))
    found: list[Any] = []

    def start() -> None:
        with durum.open(f"sqlite:///{tmp_path}/x.db") as service:
            found.append(service.start(flow, key="k"))

    durum.open(f"sqlite:///{tmp_path}/x.db").close()
    threads = [threading.Thread(target=start) for _ in range(5)]
    for thread in threads:
        thread.start()
    while len(found) < 4:
        time.sleep(0.005)
        assert any(thread.is_alive() for thread in threads)
    free.set()
    for thread in threads:
        thread.join()
    assert len({row["run_id"] for row in found}) == 1
    assert sorted(str(row.get("attached")) for row in found) == ["None", "True", "True", "True", "True"]


# --- finding runs ---------------------------------------------------------------------------------------------------------


def test_a_run_is_found_by_a_unique_beginning_of_its_id(service: Durum) -> None:
    """Of at least four characters, in any case; several or none are told apart."""
    near = ID[:-1] + "8"
    for run_id in (ID, near):
        service.start(make(), {"number": 1}, run_id=run_id)
    other = str(service.start(make(), {"number": 1}, run_id="f" + ID[1:])["run_id"])
    assert service.show("F189")["run_id"] == other
    assert service.show(other)["run_id"] == other
    for ambiguous in (ID[:-1], ID[:4]):
        with pytest.raises(NotFoundError, match=f"no single run {ambiguous}; 2 runs begin so; type more of it"):
            service.show(ambiguous)
    with pytest.raises(NotFoundError, match=r"no run f18; a beginning needs 4 characters or more; list the runs"):
        service.show("f18")
    for missing in ("0000", "", "zzzz", ID[:-1] + "9"):
        with pytest.raises(NotFoundError, match="list the runs of this store with: durum ls"):
            service.show(missing)


# --- code -----------------------------------------------------------------------------------------------------------------

FLOW = "from durum import Workflow\nflow = Workflow('flow', version={!r})\n@flow.step\ndef one() -> str:\n    return {!r}\n"


def parked(service: Durum, version: str = "1") -> str:
    """Return a run of workflow ``flow`` that is paused for an effect with an unknown outcome."""
    flow = Workflow("flow", version=version)

    @flow.step
    def one() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        service.start(flow, run_id=ID)
    return ID


def test_code_is_found_among_what_was_named(service: Durum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the run's workflow, of its version if there is one; never through the store."""
    monkeypatch.chdir(tmp_path)
    run_id = parked(service, "2")
    with pytest.raises(TargetError, match=f"no code was named for this run; .*durum resume {run_id} --with FILE.py"):
        service.resume(run_id)
    for version in ("1", "2", "3"):
        Path(f"v{version}.py").write_text(FLOW.format(version, version), encoding="utf-8")
    Path("other.py").write_text(FLOW.replace("Workflow('flow'", "Workflow('other'").format("1", "x"), encoding="utf-8")
    Path("pyproject.toml").write_text("[tool.durum]\nworkflows = ['other.py']\n", encoding="utf-8")
    with pytest.raises(TargetError, match=r"other\.py: it holds no workflow flow; name its file: durum resume"):
        service.resume(run_id)
    with pytest.raises(TargetError, match=r"other\.py: it holds no workflow flow"):
        service.resume(run_id, "other.py")
    Path("pyproject.toml").write_text("[tool.durum]\nworkflows = ['v1.py', 'v2.py', 'v3.py', 'other.py']\n", encoding="utf-8")
    assert service.resume(run_id)["status"] == "completed"
    assert service.context(run_id, "one") == "2"
    assert service.resume(run_id)["status"] == "completed"


def test_code_of_another_workflow_is_refused(service: Durum) -> None:
    """A workflow handed over as an object is held against the run's plan as well."""
    run_id = parked(service)
    other = Workflow("other")
    other.step(name="one")(lambda: "x")
    with pytest.raises(PlanChangedError):
        service.resume(run_id, other)
    assert service.show(run_id)["status"] not in {"completed", "failed"}


def test_a_bare_plan_starts_with_a_context_of_any_keys(service: Durum) -> None:
    """Its keys and values are checked as a step's would be."""
    plan = make().plan()
    assert isinstance(plan, ExecutionPlan)
    summary = service.start(plan, {"number": 1, "a/b": (1, 2)})
    assert service.context(str(summary["run_id"])) == {"number": 1, "a/b": [1, 2], "one": 2}
    with pytest.raises(InvalidIdError):
        service.start(plan, {"two words": 1})


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
