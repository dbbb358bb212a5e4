"""A workflow that is given 50 secrets and hands each to a receiver that says it back, in an answer, an error or a line."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from durum import ExecResult, Io, RateLimitedError, Retry, Secret, StepError, TransportError, Workflow
from durum.core.payload import encode_payload

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject
    from durum.ports import TransportCall

HTTP = (
    *("body", "json", "base64", "hex", "quoted", "header", "latin", "gzip", "big", "binary"),
    *("broken", "missing", "limited", "redirect", "redirect_path"),
)
EXEC = {
    "stdout": """printf 'seen %s' "$TOKEN" """,
    "stderr": """printf 'seen %s' "$TOKEN" >&2""",
    "fails": """printf 'seen %s' "$TOKEN" >&2; exit 3""",
    "cut": """printf '%s%0495d' "$TOKEN" 0 >&2; exit 3""",
    "big": """i=0; while [ $i -lt 3000 ]; do echo "$i $TOKEN"; i=$((i+1)); done""",
    "base64": """printf 'user:%s' "$TOKEN" | base64""",
    "hex": """printf %s "$TOKEN" | od -An -tx1""",
    "binary": """printf '\\377%s' "$TOKEN" """,
}
OWN = ("value", "key", "message", "details", "limited", "raises", "chained", "group", "logs", "bytes", "repr", "big")
CASES = [*(("http", mode) for mode in HTTP), *(("exec", mode) for mode in EXEC), *(("own", mode) for mode in OWN)]
CASES = [*CASES, *CASES][:50]
FOLDER = Path(os.environ.get("CANARY_FOLDER", "."))
ORIGIN = os.environ.get("CANARY_ORIGIN", "http://127.0.0.1:1")

AGAIN = Retry(attempts=2, delay=timedelta(0), jitter=0)

log = logging.getLogger("canaries")


def name_of(number: int) -> str:
    """Return the reference of a canary: by turns a variable and a file."""
    return f"file:{FOLDER.absolute()}/secret_{number}" if number % 2 else f"CANARY_{number}"


def own_reading(number: int) -> str:
    """Return what a badly behaved step would read by itself."""
    return (FOLDER / f"secret_{number}").read_text("utf-8").removesuffix("\n")


class Own:
    """A transport that keeps what it was given in a file, and gives it away in every way there is."""

    async def call(self, request: JsonObject, call: TransportCall) -> Any:
        """Answer with the secret, or raise it."""
        value, mode = call.secret(str(request["secret"])), str(request["mode"])
        (FOLDER / f"received_{request['number']}").write_text(value, "utf-8")
        if mode == "logs":
            log.warning("own transport connects with %s", value)
        answers = {
            "key": {value: {value: 1}},
            "bytes": [f"seen {value}", encode_payload(b"\xff" + value.encode())],
            "repr": repr({value: value.encode()}),
            "big": [f"{place} {value}" for place in range(5000)],
        }
        if (error := self._error(mode, value)) is not None:
            raise error
        return answers.get(mode, [f"seen {value}", value.encode().hex()])

    def _error(self, mode: str, value: str) -> Exception | None:
        chained = RuntimeError(f"wrapped {value}")
        chained.__cause__ = ValueError(value)
        return {
            "message": TransportError(f"no {value}", code="odd", retryable=True),
            "details": TransportError("no", code="odd", details={"said": [value], value: 1}),
            "limited": RateLimitedError(f"slow down {value}", details={"key": value}),
            "raises": ConnectionError(f"cannot log in with {value}"),
            "chained": chained,
            "group": ExceptionGroup(value, [ValueError(value)]),
        }.get(mode)

    async def close(self) -> None:
        """Fail, and say it."""
        raise OSError(own_reading(0))


class Tries:
    """A transport that counts how often each step asked."""

    def __init__(self) -> None:
        self._asked: dict[object, int] = {}

    async def call(self, request: JsonObject, call: TransportCall) -> int:
        """Count."""
        del call
        self._asked[request["number"]] = self._asked.get(request["number"], 0) + 1
        return self._asked[request["number"]]

    async def close(self) -> None:
        """Hold nothing."""


canaries = Workflow(
    "canaries", exec=["sh"], private_hosts=[ORIGIN.partition("://")[2]], transports={"own": Own, "tries": Tries}
)


async def asked(io: Io, number: int) -> str:
    """Hand a canary to its receiver and return all that came back."""
    (kind, mode), secret = CASES[number], Secret(name_of(number))
    if kind == "http":
        url = f"{ORIGIN}/{mode}/{number}"
        response = await io.http("GET", url, headers={"x-canary": secret, "authorization": secret.reference("Bearer ")})
        return f"{response.status} {response.url} {response.headers} {response.body!r} {response.text}"
    if kind == "exec":
        script = f'printf %s "$TOKEN" > "$FOLDER/received_{number}"; {EXEC[mode]}'
        result: ExecResult = await io.exec(["sh", "-c", script], env={"TOKEN": secret, "FOLDER": str(FOLDER)})
        return f"{result.stdout} {result.stderr} {result.stdout_bytes!r}"
    return json.dumps(await io.call("own", {"secret": name_of(number), "mode": mode, "number": number}))


async def said(io: Io, number: int) -> str:
    """Return what came back as a text, whether it was an answer or an error."""
    try:
        return await asked(io, number)
    except TransportError as error:
        return f"{error.transport_code} {error} {error.details!r} {error.__cause__!r} {error.__context__!r}"


def make(number: int) -> None:
    """Add the step of one canary: it tells everyone everything, fails, and returns it at the second try."""

    @canaries.step(name=f"canary_{number}", retry=AGAIN)
    async def step(io: Io) -> list[str]:
        answer = await said(io, number)
        shown = f"marker-{number} {answer}"
        io.emit(f"told_{number}", {"answer": shown, answer[:50]: 1})
        for line in (shown[:3000], f"read it itself: {own_reading(number)}"):
            io.progress(line)
            log.warning("step says %s", line)
        try:
            raise ValueError(own_reading(number))
        except ValueError as error:
            log.exception("it failed")
            if await io.call("tries", {"number": number}, keep="attempt") == 1:
                itself = own_reading(number)
                details = {"answer": shown[:4000], "itself": [itself], itself: 1}
                raise StepError(f"again {itself} {shown}", retryable=True, details=details) from error
        return [shown, answer]


for index in range(len(CASES)):
    make(index)


ALL = [f"canary_{number}" for number in range(len(CASES))]


@canaries.step(after=ALL)
async def emitting(io: Io) -> str:
    """Report what it read itself, one by one, and go on whatever is said of it."""
    for number in range(len(CASES)):
        with contextlib.suppress(Exception):
            io.emit(f"itself_{number}", {"read": own_reading(number)})
        with contextlib.suppress(Exception):
            await io.record_value(f"itself_{number}", own_reading(number))
        with contextlib.suppress(Exception):
            await io.call("tries", {"number": f"itself {own_reading(number)}"})
    return "went on"


@canaries.step(after=ALL)
async def returning() -> list[str]:
    """Return what it read itself."""
    return [own_reading(number) for number in range(len(CASES))]


@canaries.step(after=ALL)
async def raising() -> None:
    """Fail with what it read itself."""
    raise ConnectionError(" ".join(own_reading(number) for number in range(len(CASES))))


@canaries.step(after=ALL)
async def last(io: Io) -> None:
    """Fail for good with what every step that failed before might have said."""
    answers = [await said(io, number) for number in range(0, len(CASES), 7)]
    raise RuntimeError(" ".join(answers)[:3000]) from ValueError(own_reading(1))
