"""A server that is busy is asked again, no sooner than it says: real runs against a real server, on a clock of the test."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from durum import Io, RateLimitedError, Retry, TransportError, Workflow
from durum.testing.clock import ManualClock
from tests.engine.runs import Ran, run
from tests.transports.http_servers import Answer, Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

DATE = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")
START_MS = ManualClock().now_ms()
OWN_MS = 100  # what the step's policy waits by itself
HOUR_MS = 3_600_000


class BusyServer(Server):
    """Gives one answer to the first request and ``"done"`` to every other."""

    first = Answer(503)

    def answer(self, path: str) -> Answer:
        """Return the answer to this request."""
        return self.first if len(self.seen) == 1 else Answer(200, path.encode(), bare=True)


@pytest.fixture
def busy() -> Iterator[BusyServer]:
    """Give a server that is busy once."""
    with serving(BusyServer()) as server:
        assert isinstance(server, BusyServer)
        yield server


def ask(server: BusyServer, status: int, headers: list[tuple[str, str]], *, method: str = "GET") -> tuple[Ran, ManualClock]:
    """Run one step that calls the server until it answers, with a short wait of its own; return the run and its clock."""
    server.first = Answer(status, b"why", headers, bare=True)
    flow = Workflow("ask", private_hosts=[f"127.0.0.1:{server.port}"])

    @flow.step(retry=Retry(backoff="fixed", delay=timedelta(milliseconds=OWN_MS), jitter=0, on=()))
    async def answer(io: Io) -> str:
        return (await io.http(method, f"{server.origin}/here", read=True)).text

    clock = ManualClock(auto_advance=True)
    return run(flow, clock=clock), clock


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 507, 529, 599])
def test_a_busy_server_is_asked_again_no_sooner_than_it_says(busy: BusyServer, status: int) -> None:
    """Each status that passes is retried, the wait is recorded before it is waited, and replay needs no server."""
    ran, clock = ask(busy, status, [("Retry-After", "7")])
    assert (ran.status, ran.context["answer"]) == ("completed", "/here")
    assert ran.attempts("answer") == ["rate_limited" if status == 429 else "http_status", "completed"]
    (scheduled,) = [row["event"] for row in ran.events("retry.scheduled")]
    assert (scheduled["delay_ms"], scheduled["due_ms"]) == (7_000, START_MS + 7_000)
    assert clock.now_ms() >= START_MS + 7_000
    assert len(busy.seen) == 2
    busy.shutdown()
    ran.sound()
    assert len(busy.seen) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 451, 499])
def test_what_does_not_pass_is_not_tried_again(busy: BusyServer, status: int) -> None:
    """A request that is wrong stays so, whatever the server says about later."""
    ran, clock = ask(busy, status, [("Retry-After", "7")])
    assert (ran.status, ran.attempts("answer"), len(busy.seen)) == ("failed", ["http_status"], 1)
    assert clock.now_ms() == START_MS


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ([("Retry-After", "0")], OWN_MS),
        ([("Retry-After", "000000000000000090")], 90_000),
        ([("Retry-After", " 3 ")], 3_000),
        ([DATE, ("Retry-After", "Sun, 06 Nov 1994 08:51:37 GMT")], 120_000),
        ([DATE, ("Retry-After", "Sunday, 06-Nov-94 08:49:40 GMT")], 3_000),
        ([DATE, ("Retry-After", "Sun Nov  6 08:50:37 1994")], 60_000),
        ([("Date", "Sun Nov  6 08:49:37 1994"), ("Retry-After", "Sun, 06 Nov 1994 08:49:47 GMT")], 10_000),
        ([DATE, ("Retry-After", "Mon, 07 Nov 1994 08:49:37 GMT")], HOUR_MS),
        ([DATE, ("Retry-After", "Sun, 06 Nov 1994 08:49:36 GMT")], OWN_MS),
        ([DATE, ("Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT")], OWN_MS),
        ([("Retry-After", "Fri, 31 Dec 2999 23:59:59 GMT")], OWN_MS),
        ([("Date", "today"), ("Retry-After", "Fri, 31 Dec 2999 23:59:59 GMT")], OWN_MS),
        ([DATE], OWN_MS),
        ([("Retry-After", "1" * 20)], HOUR_MS),
        ([("Retry-After", "9" * 5_000)], HOUR_MS),
        *(([DATE, ("Retry-After", text)], OWN_MS) for text in ("-5", "+5", "1.5", "5s", "soon", "", "\u00b2", "5,5", "0x10")),
    ],
    ids=lambda value: ascii(value)[:80],
)
def test_both_forms_are_understood_and_nonsense_is_not(busy: BusyServer, headers: list[tuple[str, str]], waited: int) -> None:
    """A date counts from the answer's own Date, never from a clock; the policy's wait is the shortest, an hour the longest."""
    ran, clock = ask(busy, 429, headers)
    assert [row["event"]["delay_ms"] for row in ran.events("retry.scheduled")] == [waited]
    assert clock.now_ms() == START_MS + waited
    assert ran.sound().status == "completed"


def test_a_step_sees_what_was_asked_for(busy: BusyServer) -> None:
    """A step that catches the error finds status and wait in its details, and in replay the same."""
    busy.first = Answer(429, b"slow down", [DATE, ("Retry-After", "Sun, 06 Nov 1994 08:49:38 GMT")], bare=True)
    flow = Workflow("look", private_hosts=["127.0.0.1"])

    @flow.step
    async def looks(io: Io) -> object:
        try:
            await io.http("GET", busy.origin)
        except RateLimitedError as error:
            return error.details
        except TransportError:
            return "another error"
        return "no error"

    ran = run(flow, clock=ManualClock(auto_advance=True)).sound()
    assert ran.context["looks"] == {"status": 429, "retry_after_ms": 1_000, "body": "slow down"}
    assert len(busy.seen) == 1
