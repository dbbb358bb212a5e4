"""One key, one run: found from then on, never driven by whom it is found, and refused to whoever asks for something else."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from pydantic import BaseModel, Field

import durum
from durum import RunConfig, Workflow
from durum.app import invocation_key
from durum.app.invocation import invocation
from durum.app.invocation_key import refuse_other_body, run_id_of, start_once
from durum.core.config import RetryPolicy
from durum.errors import ConfigError, InvalidInputError, KeyReusedError, NotFoundError, RunExistsError, RunOwnedError
from durum.stores.memory import MemoryBackend, MemoryStore
from tests.app.flows import ID, make, parked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from durum import Durum

ONE = {"number": 1}


def test_a_key_starts_one_run_and_finds_it_from_then_on(service: Durum) -> None:
    """The run of that workflow, as it stands; other keys and other workflows have runs of their own."""
    first = service.start(make(), ONE, key="job-7")
    assert "attached" not in first
    assert service.start(make(), ONE, key="job-7") == {**first, "attached": True}
    other = Workflow("other")
    other.step(name="one")(lambda: 1)
    assert service.start(other, key="job-7")["run_id"] != first["run_id"]
    assert service.start(make(), ONE, key="job-8")["run_id"] != first["run_id"]
    assert len(service.runs()) == 3


def test_an_attached_call_still_checks_what_it_is_given(service: Durum) -> None:
    """A mistake is told by the same words whether the run is there or not."""
    service.start(make(), ONE, key="job-7")
    with pytest.raises(InvalidInputError):
        service.start(make(), {"number": "x"}, key="job-7")


def test_only_a_digest_of_the_key_is_stored(tmp_path: Path) -> None:
    """No file of the store repeats it, nor does the summary; searching them for what is there finds it."""
    with durum.open(f"sqlite:///{tmp_path}/x.db") as service:
        summary = service.start(make(), ONE, key="kept-by-nobody")
        files = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert str(summary["run_id"]).encode() in files
    assert b"nobody" not in files
    assert "nobody" not in str(summary)


# --- what a key may be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["k", "job 7 of 2026/11", "größe-日本-🙂", "'; DROP TABLE runs; --", "../../etc", "-k", "x" * 512]
)
def test_a_key_is_any_plain_line_of_text(service: Durum, key: str) -> None:
    """What it is made of does not matter, for only its digest is used."""
    first = service.start(make(), ONE, key=key)
    assert service.start(make(), ONE, key=key) == {**first, "attached": True}


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "is empty; give each job a key of its own, or none"),
        (" ", "odd characters"),
        ("monday ", "odd characters"),
        ("mon\nday", "odd characters"),
        ("mon\0day", "odd characters"),
        ("mon\u202eday", "odd characters"),
        ("mon\udcffday", "odd characters"),
        ("x" * 513, "has 513 characters; it must be 1 to 512 printable characters"),
        (7, "is of type int, not text"),
        (b"monday", "is of type bytes, not text"),
    ],
)
def test_other_keys_are_refused(service: Durum, key: Any, reason: str) -> None:
    """An unset variable, a stray line end or a whole file would silently name some other job; the message keeps the key out."""
    with pytest.raises(ConfigError, match=reason) as refused:
        service.start(make(), ONE, key=key)
    assert "mon" not in str(refused.value)
    assert service.runs() == []


def test_a_key_and_a_run_id_are_not_given_together(service: Durum) -> None:
    """Both choose the id; silently following one of them would start a second run for the key."""
    with pytest.raises(ConfigError, match="both choose the run's id; give one of them"):
        service.start(make(), ONE, key="k", run_id=ID)
    assert service.runs() == []


def test_the_id_of_a_key_never_changes() -> None:
    """It is a stored format: a later version that made another id would start every job a second time."""
    assert run_id_of("job-7", "flow") == "640c7dc4-cd48-5794-883a-493f37fc063d"


# --- another body ---------------------------------------------------------------------------------------------------------


DAYS = itertools.count()


class Asked(BaseModel):
    """Inputs, one of them with another default every time."""

    count: int
    name: str = "tea"
    day: int = Field(default_factory=lambda: next(DAYS))


def flow(declared: type = Asked, *, version: str = "1", result: int = 1) -> Workflow:
    """Return a workflow of one step that returns ``result``."""
    made = Workflow("flow", version=version, inputs=declared)
    made.step(name="one", tags=["a", "b"])(lambda: result)
    return made


BODIES: dict[str, tuple[Workflow, dict[str, object], RunConfig, str]] = {
    "input": (flow(), {"count": 98765}, RunConfig(), "with other inputs (count); "),
    "input given now only": (flow(), {"count": 1, "name": "98765"}, RunConfig(), "with other inputs (name); "),
    "several inputs": (
        flow(),
        {"count": 2, "name": "98765", "day": 98765},
        RunConfig(),
        "with other inputs (count, day, name); ",
    ),
    "version": (flow(version="2"), {"count": 1}, RunConfig(), "with version 1, not 2; "),
    "tags": (flow(), {"count": 1}, RunConfig(skip_tags=("a",)), "with other settings (skip_tags); "),
    "retries": (flow(), {"count": 1}, RunConfig(retry_policy=RetryPolicy(max_attempts=9)), "settings (retry_policy); "),
    "all": (
        flow(version="2"),
        {"count": 98765},
        RunConfig(fail_fast=True),
        "version 1, not 2; other inputs (count); other settings (fail_fast); ",
    ),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_another_body_is_refused(service: Durum, body: tuple[Workflow, dict[str, object], RunConfig, str]) -> None:
    """The message names the run and what differs, and no input's value; nothing is started."""
    first = service.start(flow(), {"count": 1}, key="k")
    code, inputs, config, reason = body
    with pytest.raises(KeyReusedError) as refused:
        service.start(code, inputs, key="k", config=config)
    assert f"run {first['run_id']} with" in str(refused.value)
    assert reason in str(refused.value)
    assert "98765" not in str(refused.value)
    assert len(service.runs()) == 1
    assert service.start(flow(), {"count": 1}, key="k")["attached"]


def test_an_input_given_then_and_left_out_now_is_another_body(service: Durum) -> None:
    """Unless the default is what was given: both ways ask for the same."""
    service.start(flow(), {"count": 1, "name": "coffee"}, key="k")
    with pytest.raises(KeyReusedError, match=r"other inputs \(name\)"):
        service.start(flow(), {"count": 1}, key="k")
    service.start(flow(), {"count": 1, "name": "tea"}, key="l")
    assert service.start(flow(), {"count": 1}, key="l")["attached"]


def test_the_same_said_in_another_way_is_the_same_body(service: Durum) -> None:
    """Converted inputs count, not how they were typed; how fast a run goes and what it keeps of a step's events may differ."""
    config = RunConfig(skip_tags=("a", "b"))
    service.start(flow(), {"count": 1, "name": "tea"}, key="k", config=config)
    again = RunConfig(skip_tags=("b", "a", "a"), max_concurrency=1, event_profile="minimal")
    assert service.start(flow(), {"name": "tea", "count": "1"}, texts=True, key="k", config=again)["attached"]


class Grown(BaseModel):
    """The same inputs after a change of the code: another default, one input more, one less."""

    count: int
    name: str = "coffee"
    more: list[int] = []


def test_changed_code_of_the_same_version_is_the_same_body(service: Durum) -> None:
    """Another result, other steps and what the code gives inputs nobody named are no matter of who asks."""
    first = service.start(flow(), {"count": 1}, key="k")
    changed = flow(Grown, result=2)
    changed.step(name="two")(lambda: 2)
    assert service.start(changed, {"count": 1}, key="k") == {**first, "attached": True}
    with pytest.raises(KeyReusedError, match=r"other inputs \(more\)"):
        service.start(changed, {"count": 1, "more": [1]}, key="k")


def test_a_bare_plan_is_compared_by_its_whole_context(service: Durum) -> None:
    """All of it was given."""
    plan = make().plan()
    service.start(plan, {"number": 1, "a/b": 2}, key="k")
    assert service.start(plan, {"a/b": 2, "number": 1}, key="k")["attached"]
    with pytest.raises(KeyReusedError, match=r"other inputs \(a/b\)"):
        service.start(plan, ONE, key="k")


def test_a_run_that_does_not_say_what_was_given_is_compared_by_all_inputs(service: Durum) -> None:
    """Manifests without it were written before it was kept."""
    run = service._load(str(service.start(make(), ONE, key="k")["run_id"]))
    old = msgspec.structs.replace(run, manifest=msgspec.structs.replace(run.manifest, given=msgspec.UNSET))
    refuse_other_body(old, invocation(make(), ONE))
    with pytest.raises(KeyReusedError, match=r"other inputs \(number\)"):
        refuse_other_body(old, invocation(make(), {"number": 2}))


# --- a run that is not over -----------------------------------------------------------------------------------------------


def test_a_parked_run_is_found_and_not_driven(service: Durum) -> None:
    """Whoever repeats a call never steals a run or goes on with it unasked."""
    run_id = parked(service, key="k")
    before = service.show(run_id), service.events(run_id)
    steps = Workflow("flow")
    steps.step(name="one")(lambda: pytest.fail("driven"))
    assert service.start(steps, key="k") == {**before[0], "attached": True}
    assert (service.show(run_id), service.events(run_id)) == before


# --- who begins -----------------------------------------------------------------------------------------------------------


class Claims:
    """Starts a run as the engine would: claims it, then does what the test planned."""

    def __init__(self, store: MemoryStore, then: Callable[[], None] | None = None) -> None:
        self.store = store
        self.then = then
        self.tries = 0

    async def __call__(self) -> None:
        """Try once."""
        self.tries += 1
        await self.store.claim(ID, create=True)
        if self.then is not None:
            self.then()


class Waits(MemoryStore):
    """A handle that does something the third time it is asked how a run stands, while nobody asks for longer."""

    def __init__(self, backend: MemoryBackend, then: Callable[[], None]) -> None:
        super().__init__(backend)
        self.then = then
        self.asked = 0

    async def head(self, run_id: str) -> Any:
        """Return the head of a run."""
        self.asked += 1
        if self.asked == 3:
            self.then()
        return await super().head(run_id)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    """A store of several handles that is asked without a pause."""
    monkeypatch.setattr(invocation_key, "_POLL_SECONDS", 0)
    return MemoryBackend()


def test_who_waited_begins_the_run_if_the_first_one_dies(backend: MemoryBackend) -> None:
    """Before its first event nothing was started: there is a run to begin and none to find."""
    first = MemoryStore(backend)
    asyncio.run(first.claim(ID, create=True))
    store = Waits(backend, lambda: end(first))
    start = Claims(store)
    assert asyncio.run(start_once(store, ID, start)) is True
    assert (start.tries, store.asked) == (2, 3)


def test_who_waited_begins_the_run_if_the_first_one_gives_it_up(backend: MemoryBackend) -> None:
    """Its own mistake, such as a full disk, need not be the next one's."""
    first = MemoryStore(backend)
    asyncio.run(first.claim(ID, create=True))
    store = Waits(backend, lambda: let_go(backend))
    assert asyncio.run(start_once(store, ID, Claims(store))) is True


def test_who_waited_finds_the_run_the_first_one_began(backend: MemoryBackend) -> None:
    """Its first event decides."""
    first = MemoryStore(backend)
    asyncio.run(first.claim(ID, create=True))
    store = Waits(backend, lambda: move(backend))
    start = Claims(store)
    assert asyncio.run(start_once(store, ID, start)) is False
    assert (start.tries, store.asked) == (2, 3)


def test_an_owner_that_neither_begins_nor_dies_is_named(backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process holds the run; there is nothing to show and nobody waits forever."""
    monkeypatch.setattr(invocation_key, "_PATIENCE_POLLS", 5)
    first = MemoryStore(backend)
    asyncio.run(first.claim(ID, create=True))
    store = Waits(backend, lambda: None)
    with pytest.raises(RunOwnedError, match=f"run {ID} is being driven by worker {first.worker}"):
        asyncio.run(start_once(store, ID, Claims(store)))
    assert store.asked == 5


@pytest.mark.parametrize("error", [RunOwnedError("other", "worker x"), RunExistsError("other"), NotFoundError("run", ID)])
def test_what_is_said_of_another_run_is_no_answer(backend: MemoryBackend, error: Exception) -> None:
    """A step that starts runs of its own may meet these; they pass through."""

    def fail() -> None:
        raise error

    store = Waits(backend, lambda: None)
    with pytest.raises(type(error)):
        asyncio.run(start_once(store, ID, Claims(store, fail)))
    assert store.asked == 0


def end(store: MemoryStore) -> None:
    """End a handle as its process would, whatever it owns."""
    store._backend.alive.discard(store.worker)


def let_go(backend: MemoryBackend) -> None:
    """Release the run whoever owns it."""
    backend.runs[ID].head = msgspec.structs.replace(backend.runs[ID].head, owner=None)


def move(backend: MemoryBackend) -> None:
    """Let the run have its first event."""
    backend.runs[ID].head = msgspec.structs.replace(backend.runs[ID].head, seq=1)
