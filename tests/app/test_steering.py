"""Anyone may answer, cancel and pause a run: from another process, while it is driven and while it is not."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import durum
from durum import Io, Retry, TransportError, Workflow
from durum.app.steering import actor_or_user
from durum.errors import AnswerError, ConfigError, NotFoundError, RunOverError, SecretsDetectedError
from tests.app.flows import ID
from tests.engine.doubles import Scripted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from durum import Durum

RACERS = 8
RACE = """
import json, sys, durum
url, run_id, gate, number = sys.argv[1:]
with durum.open(url) as service:
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        service.answer(run_id, gate, {"happened": True, "result": number}, actor=number)
        print(json.dumps("accepted"))
    except durum.DurumError as error:
        print(json.dumps(f"{type(error).__name__}: {error}"))
"""


def busy_once() -> Scripted:
    """Return a transport that does it and says it is busy, the first time."""

    def answer(request: Any, call: Any) -> str:
        del request, call
        if len(fake.seen) == 1:
            message = "busy"
            raise TransportError(message, code="busy", retryable=True)
        return "done anew"

    fake = Scripted(answer)
    return fake


def asking(during: Callable[[], object] | None = None) -> Workflow:
    """Return a workflow with a step in doubt, and beside it one that calls ``during`` in a thread."""
    fake = busy_once()
    flow = Workflow("asking", transports={"fake": lambda: fake})

    @flow.step(effects="apply_side_effect", retry=Retry(attempts=2, jitter=0))
    async def act(io: Io) -> Any:
        return await io.call("fake", {}, read=False)

    @flow.step(blocking=True)
    def beside() -> int:
        if during is not None:
            during()
        return 1

    @flow.step
    def after(act: Any) -> Any:
        return act

    return flow


def question(service: Durum, run_id: str = ID) -> str:
    """Return what to type for the one open gate."""
    (gate,) = service.gates(run_id)
    return str(gate["gate"])


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store of its own."""
    return f"sqlite:///{tmp_path}/durum.db"


def test_an_answer_while_nobody_drives_the_run(url: str) -> None:
    """It is in the log at once, without the run's code; the run goes on when it is resumed."""
    with durum.open(url) as service:
        flow = asking()
        service.start(flow, run_id=ID)
        with durum.open(url) as other:
            told = other.answer(ID, question(other), {"happened": True, "result": "seen"}, actor="eve", reason="looked")
        assert told["run_id"] == ID
        assert service.gates(ID) == []
        assert [row["event"]["kind"] for row in service.events(ID)][-2:] == ["gate.answered", "effect.settled"]  # type: ignore[index,call-overload]
        assert service.resume(ID, flow)["status"] == "completed"
        assert service.context(ID, "after") == "seen"
        assert service.replay(ID, "reproduce", flow).divergence is None


def test_an_answer_while_its_owner_lives(url: str) -> None:
    """The owner takes it while another branch is still under way: the state goes on before that branch ends."""
    went_on: list[object] = []

    def during() -> None:
        with durum.open(url) as other:
            while not other.gates(ID):
                threading.Event().wait(0.01)
            other.answer(ID, question(other), {"happened": False}, actor="eve")
            while not went_on:
                if any(row["state_id"] == "asking.after.main" and row["status"] == "completed" for row in other.states(ID)):
                    went_on.append(other.states(ID))

    with durum.open(url) as service:
        summary = service.start(asking(during), run_id=ID)
        assert (summary["status"], len(went_on), service.context(ID, "after")) == ("completed", 1, "done anew")


def test_of_eight_answers_at_once_one_is_accepted(url: str) -> None:
    """From as many processes; the others are told; the log holds the accepted one."""
    with durum.open(url) as service:
        flow = asking()
        service.start(flow, run_id=ID)
        gate = question(service)
        command = [sys.executable, "-c", RACE, url, ID, gate]
        racers = [
            subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for number in range(RACERS)
        ]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        said = [json.loads(racer.communicate("go\n")[0]) for racer in racers]
        assert said.count("accepted") == 1
        assert all(text == "accepted" or text.startswith(("AnswerError", "NotFoundError")) for text in said), said
        winner = str(said.index("accepted"))
        answers = [row["event"]["actor"] for row in service.events(ID) if row["event"]["kind"] == "gate.answered"]  # type: ignore[index,call-overload]
        assert answers == [winner]
        assert service.resume(ID, flow)["status"] == "completed"
        assert service.context(ID, "act") == winner


def test_an_answer_counts_only_for_what_was_shown(service: Durum) -> None:
    """A bare name, another digest, a part of it, another gate: each is refused with what to type."""
    service.start(asking(), run_id=ID)
    gate = question(service)
    name, _, digest = gate.partition("@")
    for typed in (name, f"{name}@"):
        with pytest.raises(AnswerError, match=f"then answer {gate}"):
            service.answer(ID, typed, {"happened": True})
    for shown in (digest[:7], "0" * 8, digest + "0" * 64):
        with pytest.raises(AnswerError, match=f"shown as {gate} last"):
            service.answer(ID, f"{name}@{shown}", {"happened": True})
    with pytest.raises(NotFoundError, match=gate):
        service.answer(ID, f"other@{digest}", {"happened": True})
    with pytest.raises(AnswerError, match="field happened is missing"):
        service.answer(ID, gate, {})
    with pytest.raises(SecretsDetectedError):
        service.answer(ID, gate, {"happened": True, "result": {"password": "hunter2hunter2"}})
    with pytest.raises(SecretsDetectedError):
        service.answer(ID, gate, {"happened": True}, reason="ghp_" + "a1B2" * 9)
    assert question(service) == gate


def test_nobody_answers_twice(service: Durum) -> None:
    """Once it is answered there is no such gate; the whole digest may be typed as well."""
    service.start(asking(), run_id=ID)
    (gate,) = service.gates(ID)
    service.answer(ID, f"act@{gate['digest']}", {"happened": False})
    with pytest.raises(NotFoundError, match="waits for no answer"):
        service.answer(ID, str(gate["gate"]), {"happened": False})


def test_a_result_the_call_could_not_have_given_is_refused(url: str) -> None:
    """The question stays open, for once answered the step goes on with it; plain text stands for a command's output."""
    flow = Workflow("command", exec=["sh"])

    @flow.step(effects="apply_side_effect", retry=Retry(attempts=2, delay=timedelta(0), jitter=0))
    async def act(io: Io) -> str:
        return (await io.exec(["sh", "-c", "exit 3"], read=False)).stdout

    with durum.open(url) as service:
        service.start(flow, run_id=ID)
        gate = question(service)
        for wrong in ({"exit_codex": 0}, {"exit_code": "0"}, "done", {"exit_code": 0, "stdout": 7}):
            with pytest.raises(AnswerError, match="its result does not fit"):
                service.answer(ID, gate, {"happened": True, "result": wrong})
        service.answer(ID, gate, {"happened": True, "result": {"exit_code": 0, "stdout": "sent"}})
        assert service.resume(ID, flow)["status"] == "completed"
        assert service.context(ID, "act") == "sent"


@pytest.mark.parametrize("word", ["cancel", "pause"])
def test_steering_a_run_that_is_over_is_refused(service: Durum, word: str) -> None:
    """Nothing is written."""
    service.start(asking(), run_id=ID)
    assert service.cancel(ID, actor="eve")["status"] == "cancelled"
    events = service.events(ID)
    with pytest.raises(RunOverError, match="cancelled"):
        getattr(service, word)(ID)
    with pytest.raises(RunOverError):
        service.answer(ID, "act@00000000", {"happened": True})
    assert (service.events(ID), service.gates(), service.gates(ID)) == (events, [], [])
    assert service.verify(ID).first_bad is None


def test_what_people_say_has_a_length(service: Durum) -> None:
    """It stands in events, which are short; a run that waits still waits."""
    service.start(asking(), run_id=ID)
    for options in ({"actor": "x" * 257}, {"reason": "x" * 4_001}):
        with pytest.raises(ConfigError, match="characters"):
            service.cancel(ID, **options)
    assert service.cancel(ID, actor="x" * 256, reason="x" * 4_000)["status"] == "cancelled"


def test_who_resumes_a_run_is_checked_like_who_pauses_it(service: Durum) -> None:
    """The name stands in the log for ever: too long or a secret is refused before anything goes on."""
    flow = asking()
    service.start(flow, run_id=ID)
    service.pause(ID)
    head = service.show(ID)["head_seq"]
    with pytest.raises(ConfigError, match="the actor has 257 characters, but may have 256; shorten it"):
        service.resume(ID, flow, actor="x" * 257)
    with pytest.raises(SecretsDetectedError):
        service.resume(ID, flow, actor="ghp_" + "a1B2" * 9)
    assert service.show(ID)["head_seq"] == head
    service.resume(ID, flow, actor="x" * 256)
    assert [row["event"]["actor"] for row in service.events(ID) if row["event"]["kind"] == "run.resumed"] == ["x" * 256]  # type: ignore[index,call-overload]


def test_a_cancellation_that_meets_the_end_of_the_run_is_no_error(url: str) -> None:
    """Sent again and again while the run ends: it ends in one way, and both sides know it."""
    with durum.open(url) as service:
        over = threading.Event()
        said: list[str] = []

        def cancels() -> None:
            with durum.open(url) as other:
                while not over.is_set():
                    try:
                        other.cancel(ID, actor="eve")
                    except durum.DurumError as error:
                        said.append(type(error).__name__)

        flow = Workflow("short")
        for number in range(20):
            flow.step(name=f"s{number}")(lambda: 1)
        thread = threading.Thread(target=cancels)
        thread.start()
        try:
            summary = service.start(flow, run_id=ID)
        finally:
            over.set()
            thread.join()
        assert summary["status"] in {"completed", "cancelled"}
        assert set(said) <= {"NotFoundError", "RunOverError"}
        assert service.verify(ID).first_bad is None
        assert service.replay(ID, "reproduce", flow).divergence is None


def test_who_acts_is_named() -> None:
    """As given; else the user of the process."""
    assert actor_or_user("eve") == "eve"
    assert actor_or_user(" ") == actor_or_user(None) != ""
