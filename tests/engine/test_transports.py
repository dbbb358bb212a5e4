"""What a transport resolved is known to the whole run, and gone from every answer and every line that follows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import durum
from durum import Io, RateLimitedError, Secret, StepError, TransportError, Workflow
from durum.engine.engine import Watcher
from tests.engine.doubles import Scripted
from tests.engine.runs import run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from durum.core.canonical import JsonObject
    from durum.ports import TransportCall

VALUE = 'sw0rd/fish+"é" 7'
TAIL = "sk-0123456789abcdef0123456789/rest-of-it"  # begins as a token of a known format and goes on
log = logging.getLogger("somebody")


def resolving(answer: Any) -> Scripted:
    """Return a transport that resolves the request's secret and then does what a function of its value says."""

    def script(request: JsonObject, call: TransportCall) -> Any:
        given = answer(call.secret(str(request["secret"])))
        if isinstance(given, BaseException):
            raise given
        return given

    return Scripted(script)


def flow_with(fake: Any, name: str = "DURUM_TEST_TOKEN") -> Workflow:
    """Return a flow whose step tells what became of a call."""
    flow = Workflow("secretive", transports={"fake": lambda: fake})

    @flow.step
    async def step(io: Io) -> Any:
        try:
            return await io.call("fake", {"secret": name})
        except TransportError as error:
            return [type(error).__name__, error.transport_code, error.message, error.details]

    return flow


def test_an_answer_carries_the_name_in_place_of_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """In texts, keys and lists, as bytes and in the other forms; the step and the record see the same."""
    monkeypatch.setenv("DURUM_TEST_TOKEN", VALUE)
    fake = resolving(lambda value: {"a": [f"<{value}>"], value: {"base64": "/w=="}, "hex": value.encode().hex()})
    ran = run(flow_with(fake)).sound()
    label = "[secret DURUM_TEST_TOKEN]"
    assert ran.context["step"] == {"a": [f"<{label}>"], label: {"base64": "/w=="}, "hex": label}


def test_every_error_is_clean_and_keeps_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Message and details of a transport's own error, of one that limits the rate, and of whatever else it raises."""
    monkeypatch.setenv("DURUM_TEST_TOKEN", VALUE)
    for make, kind, code in [
        (lambda v: TransportError(f"no {v}", code="odd", details={v: [v]}), "TransportError", "odd"),
        (lambda v: RateLimitedError(f"no {v}", details={v: [v]}), "RateLimitedError", "rate_limited"),
    ]:
        label = "[secret DURUM_TEST_TOKEN]"
        assert run(flow_with(resolving(make))).sound().context["step"] == [kind, code, f"no {label}", {label: [label]}]
    chained = ExceptionGroup(f"many {VALUE}", [ValueError(VALUE)])
    chained.__cause__ = KeyError(VALUE)
    said = run(flow_with(resolving(lambda _: chained))).sound().context["step"]
    assert said[1:3] == [
        "transport_raised",
        "fake transport failed: ExceptionGroup: many [secret DURUM_TEST_TOKEN] (1 sub-exception)",
    ]


def test_a_format_that_fits_a_part_of_a_secret_leaves_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole value goes first: cut down by the rule for tokens, its rest would not be found any more."""
    monkeypatch.setenv("DURUM_TEST_TOKEN", TAIL)
    for answer in (lambda v: {"said": v}, lambda v: TransportError(v, details=v), RuntimeError):
        assert "rest-of-it" not in str(run(flow_with(resolving(answer))).sound().context)


def test_a_message_cut_short_holds_no_half_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a failed command said is shown from its end only, and the cut may go through the secret."""
    monkeypatch.setenv("DURUM_TEST_TOKEN", "left-half-" + "right-half")
    flow = Workflow("cutting", exec=["sh"])

    @flow.step
    async def step(io: Io) -> Any:
        script = f'printf "%s%0{500 - len("right-half")}d" "$TOKEN" 0 >&2; exit 3'
        await io.exec(["sh", "-c", script], env={"TOKEN": Secret("DURUM_TEST_TOKEN")})

    ran = run(flow).sound()
    assert ran.error["code"] == "exec_failed"
    assert "half" not in str([ran.error, ran.events(), [ran.service.artifact(fact["payload_id"]) for fact in ran.facts()]])


def test_a_secret_of_one_call_is_gone_from_the_answer_of_the_next(tmp_path: Path) -> None:
    """A server may remember it; also the value a file held before it was renewed."""
    token = tmp_path / "token"
    heard: list[str] = []

    def script(request: JsonObject, call: TransportCall) -> Any:
        if "secret" in request:
            heard.append(call.secret(str(request["secret"])))
        token.write_text("renewed-value\n")
        return {"heard": list(heard)}

    flow = Workflow("remembering", transports={"fake": lambda: Scripted(script)})

    @flow.step
    async def step(io: Io) -> Any:
        reference: JsonObject = {"secret": f"file:{token}"}
        return [await io.call("fake", reference), await io.call("fake", {**reference, "n": 2}), await io.call("fake", {"n": 3})]

    token.write_text("first-value\n")
    ran = run(flow).sound()
    label = f"[secret file:{token}]"
    assert heard == ["first-value", "renewed-value"]
    assert ran.context["step"] == [{"heard": [label]}, {"heard": [label] * 2}, {"heard": [label] * 2}]
    assert all(b"-value" not in ran.service.artifact(row["request_id"]) for row in ran.facts())


def test_a_missing_file_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    """The step can catch it as any failure of a call, and an effect may be tried again."""
    fake = resolving(lambda value: value)
    ran = run(flow_with(fake, f"file:{tmp_path}/none")).sound()
    assert ran.context["step"][:2] == ["TransportError", "secret_missing"]
    assert ran.facts()[0]["outcome"] == "refused"


def test_progress_and_logs_are_clean(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A step that reads the value itself, or meets a token elsewhere, cannot show it so; other records stay whole."""
    monkeypatch.setenv("DURUM_TEST_TOKEN", VALUE)
    flow = Workflow("talking", transports={"fake": lambda: resolving(len)})
    token = "ghp_" + "a1B2" * 9

    @flow.step
    async def step(io: Io) -> None:
        await io.call("fake", {"secret": "DURUM_TEST_TOKEN"})
        io.progress(f"using {VALUE} and {token}")
        log.warning("using %s and %s", VALUE, token)
        log.warning("a %s with %d arguments", "record", 2)
        log.warning("wrong %d", "format")
        try:
            try:
                raise ValueError(VALUE)
            except ValueError as error:
                raise StepError(token) from error
        except StepError:
            log.exception("it failed")

    lines: list[str] = []
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with durum.open("memory://") as service:
        service.start(flow, watcher=Watcher(progress=lambda _, line: lines.append(line)))
    assert lines == ["using [secret DURUM_TEST_TOKEN] and [secret]"]
    assert "using [secret DURUM_TEST_TOKEN] and [secret]" in caplog.text
    assert "it failed" in caplog.text
    assert "StepError: [secret]" in caplog.text
    assert VALUE not in caplog.text
    assert token not in caplog.text
    whole = next(record for record in caplog.records if record.msg == "a %s with %d arguments")
    assert whole.args == ("record", 2)


def test_a_transport_that_cannot_be_closed_is_told_of_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its exception may hold what it connected with."""
    monkeypatch.setenv("DURUM_TEST_TOKEN", VALUE)

    class Sticky(Scripted):
        async def close(self) -> None:
            raise OSError(VALUE)

    run(flow_with(Sticky(lambda _, call: call.secret("DURUM_TEST_TOKEN") and 1)))
    assert "transport fake could not be closed: OSError('[secret DURUM_TEST_TOKEN]')" in caplog.text
