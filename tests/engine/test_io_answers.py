"""What a command or a server answered, also when a person says so in its place: little is needed, nothing is guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durum.core.state import IoCall, IoResult
from durum.engine.io import ExecResult, HttpResponse, Io, exec_result, http_response
from durum.errors import IoError, RateLimitedError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from durum.core.canonical import JsonValue

WRONG: list[Any] = [None, True, 0, "0", [], [0], {}, {"code": 0}, {"exit_code": None}, {"exit_code": "0"}, {"exit_code": 0.0}]


class Given:
    """A provider with one prepared response, judged as a live one is."""

    def __init__(self, response: JsonValue) -> None:
        self.response = response

    async def call(self, call: IoCall) -> IoResult:
        """Judge the response and return it."""
        if call.judge is not None:
            call.judge(self.response)
        return IoResult(self.response, "0" * 64)


def answered(response: JsonValue, use: Callable[[Io], Coroutine[Any, Any, object]]) -> object:
    """Return what a step sees of a response; nothing in these calls waits."""
    nothing: Any = None
    step = use(Io(Given(response), nothing, nothing, nothing))  # type: ignore[arg-type]
    try:
        step.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waited")


def test_an_exit_code_is_enough() -> None:
    """A person who looked need not make up what the command wrote."""
    assert exec_result({"exit_code": 0}) == ExecResult(0, b"", b"")
    assert exec_result({"exit_code": -9, "stdout": {"base64": "AP8="}}) == ExecResult(-9, b"\x00\xff", b"")
    assert exec_result({"exit_code": 1, "stderr": {"text": "\u00e4"}}).stderr == "\u00e4"
    assert answered({"exit_code": 0}, lambda io: io.exec(["x"])) == ExecResult(0, b"", b"")


def test_a_status_is_enough() -> None:
    """The same for a server; what is given is kept, and a header is found however it was spelled."""
    assert http_response({"status": 200}) == HttpResponse(200, "", (), b"")
    given = http_response({"status": 201, "url": "http://a.test/", "headers": [["Retry-After", "5"]], "body": {"text": "x"}})
    assert given == HttpResponse(201, "http://a.test/", (("retry-after", "5"),), b"x")
    assert given.header("retry-AFTER") == "5"
    assert answered({"status": 204}, lambda io: io.http("GET", "http://a.test/")) == HttpResponse(204, "", (), b"")


@pytest.mark.parametrize("response", WRONG, ids=repr)
def test_an_exit_code_is_needed(response: Any) -> None:
    """Whatever else is given, the sentence says what to give; a step meets the same error, judged or not."""
    with pytest.raises(IoError, match=r'must hold its exit code, as in \{"exit_code": 0\}, not .'):
        exec_result(response)
    for check in (True, False):
        with pytest.raises(IoError, match="exit code"):
            answered(response, lambda io, check=check: io.exec(["x"], check=check))  # type: ignore[misc]


@pytest.mark.parametrize(
    "response", [*WRONG, {"status": None}, {"status": "200"}, {"status": True}, {"exit_code": 0}], ids=repr
)
def test_a_status_is_needed(response: Any) -> None:
    """The same for a server."""
    with pytest.raises(IoError, match=r'must hold its status, as in \{"status": 200\}, not .'):
        http_response(response)
    for check in (True, False):
        with pytest.raises(IoError, match="status"):
            answered(response, lambda io, check=check: io.http("GET", "http://a.test/", check=check))  # type: ignore[misc]


PAYLOADS: list[Any] = [
    None,
    b"x",
    1,
    [],
    {},
    {"text": 1},
    {"text": "\ud800"},
    {"base64": "x"},
    {"text": "", "base64": ""},
]


@pytest.mark.parametrize("value", PAYLOADS, ids=ascii)
def test_output_is_a_payload_or_left_out(value: Any) -> None:
    """A field of a wrong type is not taken for an empty one; the sentence names it and its forms."""
    for field in ("stdout", "stderr"):
        with pytest.raises(IoError, match=rf'"{field}" must be given as text, \{{"text": "..."\}} or'):
            exec_result({"exit_code": 0, field: value})
    with pytest.raises(IoError, match='"body" must be given as'):
        http_response({"status": 200, "body": value})


def test_plain_text_stands_for_output() -> None:
    """As a person who answers for a call gives it."""
    assert exec_result({"exit_code": 0, "stdout": "ü"}).stdout_bytes == "ü".encode()
    assert http_response({"status": 200, "body": "ü"}).body == "ü".encode()


@pytest.mark.parametrize("headers", [None, {}, {"a": "b"}, "a: b", ["a: b"], [["a"]], [["a", 1]], [["a", "b", "c"]]], ids=repr)
def test_headers_are_pairs_or_left_out(headers: Any) -> None:
    """Headers in another shape are refused with an example."""
    with pytest.raises(IoError, match=r'"headers" must be a list of pairs, such as \[\["content-type"'):
        http_response({"status": 200, "headers": headers})


@pytest.mark.parametrize("url", [None, 1, {}, ["http://a.test/"]], ids=repr)
def test_a_url_is_a_text_or_left_out(url: Any) -> None:
    """So is the URL."""
    with pytest.raises(IoError, match='"url" must be a text, such as'):
        http_response({"status": 200, "url": url})


def test_a_long_answer_is_not_repeated() -> None:
    """The sentence stays one sentence."""
    with pytest.raises(IoError) as caught:
        http_response({"x" * 10_000: ["y"] * 10_000})
    assert len(str(caught.value)) < 300


HEADER = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40) | st.from_regex(
    r"\A[SMTWF][a-z]{2}, ?\d{1,6} [A-Z][a-z]{2} -?\d{1,12} \d+:\d+:\d+ ?([A-Z]{3}|[+-]\d{1,9})\Z"
)


@given(HEADER, HEADER, st.sampled_from([408, 425, 429, 500, 503, 599]))
def test_no_header_breaks_the_judgement(retry_after: str, date: str, status: int) -> None:
    """Whatever a server writes there, its answer is a retryable error whose wait is a safe number of milliseconds or none."""
    headers: JsonValue = [["retry-after", retry_after], ["date", date]]
    with pytest.raises(TransportError) as caught:
        answered({"status": status, "headers": headers}, lambda io: io.http("GET", "http://a.test/"))
    assert caught.value.retryable
    assert isinstance(caught.value, RateLimitedError) is (status == 429)
    details: Any = caught.value.details
    assert details["retry_after_ms"] is None or 0 <= details["retry_after_ms"] < 2**53
