"""A ``Secret`` goes to its receiver where one can stand, and is refused everywhere else; its name never goes in its place."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from durum import Io, Secret, Workflow
from durum.engine.secret_values import secret_value
from tests.engine.doubles import Scripted, counting
from tests.engine.runs import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.canonical import JsonObject
    from durum.ports import TransportCall

NAME = "DURUM_TEST_TOKEN"
S: Any = Secret(NAME)
EVERYWHERE = "in env=, in headers= and in the request of io.call only"

REFUSED: list[Callable[[Any], Any]] = [
    lambda io: io.exec(["curl", "-H", S]),
    lambda io: io.exec(["curl", "-H", f"authorization: Bearer {S}"]),
    lambda io: io.exec(["curl"], stdin=S),
    lambda io: io.exec(["curl"], cwd=S),
    lambda io: io.exec(["curl"], env={"TOKEN": [S]}),
    lambda io: io.http("POST", "http://h", json={"token": S}),
    lambda io: io.http("POST", "http://h", json={"deep": [{"token": S}]}),
    lambda io: io.http("POST", "http://h", json=S),
    lambda io: io.http("POST", "http://h", body=S),
    lambda io: io.http("POST", S),
    lambda io: io.http("POST", f"http://h?token={S}"),
    lambda io: io.http("POST", "http://h?token=" + S),
    lambda io: io.http("POST", "http://h", headers={"a": f"Bearer {S}"}),
    lambda io: io.read_file(S),
    lambda io: io.write_file("/x", S),
    lambda io: io.emit("told", {"token": S}),
    lambda io: io.record_value("key", [S]),
    lambda _: S,
    lambda _: {"token": S},
]


@pytest.mark.parametrize("use", REFUSED, ids=range(len(REFUSED)))
@pytest.mark.parametrize("catches", [False, True])
def test_a_secret_is_refused_where_none_can_stand(use: Callable[[Io], Any], catches: bool) -> None:  # noqa: FBT001
    """One sentence says where it may; nothing was called, and a step that catches the error comes to the same in replay."""
    fake = counting()
    namespaces = ("exec", "http", "file")
    flow = Workflow("misplacing", transports=dict.fromkeys(namespaces, lambda: fake))

    async def tried(io: Io) -> Any:
        used = use(io)
        return await used if inspect.isawaitable(used) else used

    @flow.step(effects="apply_side_effect")
    async def step(io: Io) -> Any:
        try:
            return await tried(io)
        except Exception as error:
            if not catches:
                raise
            return f"{error}"

    ran = run(flow).sound()
    said = ran.context["step"] if ran.status == "completed" else ran.error["message"]
    assert EVERYWHERE in said
    assert fake.seen == []
    assert ran.facts() == []


def test_a_call_carries_the_reference_and_its_transport_resolves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stands in the request; the record holds the reference, and replay finds it."""
    monkeypatch.setenv(NAME, "a-value-of-its-own")
    heard: list[str] = []

    def script(request: JsonObject, call: TransportCall) -> int:
        token: Any = request["tokens"]
        heard.append(call.secret(token[0]["$secret"]))
        return len(heard)

    fake = Scripted(script)
    flow = Workflow("calling", transports={"fake": lambda: fake})

    @flow.step
    async def step(io: Io) -> Any:
        request = {"tokens": [S], "x": 1}
        first = await io.call("fake", request)
        return [first, await io.call("fake", request), request["tokens"] == [S]]

    ran = run(flow).sound()
    assert ran.context["step"] == [1, 2, True]
    assert fake.seen == [{"tokens": [{"$secret": NAME}], "x": 1}] * 2
    assert heard == [secret_value(NAME)] * 2
    assert b"of-its-own" not in b"".join(ran.service.artifact(row["request_id"]) for row in ran.facts())
