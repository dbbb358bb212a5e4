"""50 secrets go through a real run by the real command line, each to a receiver that says it back, and are found nowhere."""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.cli.command_line import CommandLine
from tests.workflows import canaries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.command_line import Ran

TARGET = f"{canaries.__file__}:canaries"
NAUGHTY = {"canaries.emitting.main", "canaries.returning.main", "canaries.raising.main"}
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn{:02d}.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THs"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqh{:02d}kiG9w0BAQEFAASCBKcw\nggSjAgEAAoIBAQC7+/Xy\n-----END PRIVATE KEY-----"
FORMATS = (
    "sk-proj-Zx9yWv8uTs7rQp6o{:02d}",
    "ghp_16C7e42F292c6912E7710c838347Ae17{:02d}",
    "pässwörd {:02d}/+%\"'\\<&>?=#",
    "AKIAIOSFODNN7EXAMP{:02d}",
    "73519284{:02d}",
    JWT,
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCY{:02d}==",
    "hunter{:02d}!Z",
    "postgres://app:s3cr3t{:02d}@db.internal/x",
    "xoxb-123456789012-abcdef{:02d}",
    "c0ffee{:02d}-dead-4bad-beef-0123456789ab",
    "日本語のパスワード{:02d}",
    "sk-0123456789abcdef0123456789{:02d}/and+the rest",
)


def value_of(number: int) -> str:
    """Return a canary; keys of several lines go where no header is."""
    if canaries.CASES[number][0] != "http" and number % 9 == 0:
        return PEM.format(number)
    return FORMATS[number % len(FORMATS)].format(number)


class Echo(BaseHTTPRequestHandler):
    """Says back what it was given, in the way the path asks for."""

    server: Receiver

    def do_GET(self) -> None:
        """Answer one request."""
        _, mode, number, *_ = urllib.parse.urlsplit(self.path).path.split("/")
        value = self.headers["x-canary"].encode("latin-1").decode()
        self.server.received[int(number)] = value
        assert self.headers["authorization"].encode("latin-1").decode() == f"Bearer {value}"
        status, headers, body = answer(mode, number, value, urllib.parse.unquote(self.path))
        self.send_response_only(status)
        for name, text in headers.items():
            self.send_header(name, text.encode().decode("latin-1"))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Keep quiet."""


def answer(mode: str, number: str, value: str, path: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of what the server says."""
    quoted = urllib.parse.quote(value, safe="")
    said: dict[str, tuple[int, dict[str, str], bytes]] = {
        "json": (200, {}, json.dumps({value: [value]}).encode()),
        "base64": (200, {}, base64.b64encode(f"user:{value}".encode())),
        "hex": (200, {}, value.encode().hex().encode()),
        "quoted": (200, {}, quoted.encode()),
        "header": (200, {"x-echo": value, "x-api-key": f"of-the-server-{number}"}, b""),
        "latin": (200, {}, f"ÿ {value}".encode("latin-1", "replace")),
        "gzip": (200, {"content-encoding": "gzip"}, gzip.compress(f"seen {value}".encode())),
        "big": (200, {}, f"{value}\n".encode() * 9000),
        "binary": (200, {}, b"\xff\x00" + value.encode()),
        "broken": (500, {}, f"seen {value}".encode()),
        "missing": (404, {}, value.encode() + b"." * 350 + value.encode() * 40),
        "limited": (429, {"retry-after": "0"}, value.encode()),
        "redirect": (302, {"location": f"/landed/{number}?token={quoted}"}, b""),
        "redirect_path": (302, {"location": f"/nowhere/{number}/{quoted}"}, b""),
        "nowhere": (404, {}, path.encode()),
    }
    return said.get(mode, (200, {}, f"seen {value} at {path}".encode()))


class Receiver(ThreadingHTTPServer):
    """A server that keeps every canary it was given."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.received: dict[int, str] = {}


class Outcome(NamedTuple):
    """A run that is over: everything it left, and what the receivers got."""

    run: Ran
    events: list[dict[str, Any]]
    left: dict[str, bytes]
    received: dict[int, str]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Run it once, with a second connection open so that the write-ahead log stays, and gather all bytes."""
    folder = tmp_path_factory.mktemp("canaries")
    secrets = folder / "secrets"
    secrets.mkdir()
    environment = {"CANARY_FOLDER": str(secrets), "PYTHONUTF8": "1"}
    for number in range(50):
        environment[f"CANARY_{number}"] = value_of(number)
        (secrets / f"secret_{number}").write_text(value_of(number) + "\n", "utf-8")
    durum = CommandLine(folder)
    durum("run", durum.write("first.py", FIRST))
    store = sqlite3.connect(folder / ".durum" / "durum.db")
    store.execute("BEGIN")
    store.execute("SELECT count(*) FROM sqlite_master").fetchone()
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        environment["CANARY_ORIGIN"] = f"http://127.0.0.1:{server.server_address[1]}"
        run = durum("run", TARGET, "--json", code=1, **environment)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    left = {"stdout": run.out.encode(), "stderr": run.err.encode()} | looked_at(durum, run.json["run_id"])
    left |= {str(file): file.read_bytes() for file in (folder / ".durum").rglob("*") if file.is_file()}
    received = server.received | {
        int(file.name.removeprefix("received_")): file.read_text("utf-8") for file in secrets.glob("received_*")
    }
    yield Outcome(run, durum("events", run.json["run_id"], "--json").lines, left, received)
    store.close()


FIRST = """
from durum import Workflow
first = Workflow("first")
@first.step
def one() -> int:
    return 1
"""


def looked_at(durum: CommandLine, run_id: str) -> dict[str, bytes]:
    """Return what every verb that looks at a run prints of it."""
    calls: list[list[str]] = [[verb, run_id] for verb in ("show", "events", "context", "facts")]
    calls += [[*call, "--json"] for call in calls]
    printed = {" ".join(call): durum(*call).out.encode() for call in calls}
    for fact in durum("facts", run_id, "--json").lines[:2]:
        printed[f"artifact {fact['key']}"] = durum("artifact", fact["payload_id"]).out.encode()
    return printed


def forms(value: str) -> Iterator[bytes]:
    """Yield how a value may be written: raw, as JSON, in a URL, in hex, and the letters base64 has for it at any place."""
    data = value.encode()
    yield data
    yield value.encode("latin-1", "replace")
    yield json.dumps(value)[1:-1].encode()
    yield json.dumps(json.dumps(value))[3:-3].encode()
    yield urllib.parse.quote(value, safe="").encode()
    yield urllib.parse.quote(value).encode()
    yield data.hex().encode()
    yield data.hex().upper().encode()
    yield data.hex(" ").encode()
    for before in range(3):
        letters = base64.b64encode(bytes(before) + data + bytes(3))
        whole = letters[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield whole
        yield whole.replace(b"+", b"-").replace(b"/", b"_")


def found(value: str, left: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """Return where a value is, and in which form."""
    return [(where, form) for where, data in left.items() for form in forms(value) if form in data]


def test_every_receiver_got_its_secret(outcome: Outcome) -> None:
    """Otherwise that they are found nowhere would prove nothing."""
    assert outcome.received == {number: value_of(number) for number in range(50)}
    assert len(set(outcome.received.values())) == 50


def test_what_came_back_is_where_the_secrets_are_looked_for(outcome: Outcome) -> None:
    """The search sees what is stored: in the log that is not checkpointed, in files, and in what was printed."""
    stored = b"".join(data for where, data in outcome.left.items() if ".durum" in where)
    log = next(data for where, data in outcome.left.items() if where.endswith("-wal"))
    for number in range(50):
        marker, label = f"marker-{number} ".encode(), f"/secret_{number}]" if number % 2 else f"[secret CANARY_{number}]"
        assert marker in log
        assert label.encode() in stored
        assert f"canary_{number}: marker-{number} ".encode() in outcome.left["stderr"]
    large = [data for where, data in outcome.left.items() if "artifacts" in where and len(data) > 65536]
    assert len([data for data in large if b"[secret " in data]) >= 4
    assert outcome.run.json["status"] == "failed"


def test_a_step_that_read_them_itself_was_refused(outcome: Outcome) -> None:
    """What it raised is in the record under the names; what it reported and returned is not, and it failed for it."""
    failed = [line["event"] for line in outcome.events if line["event"]["kind"] == "state.failed"]
    last = {event["state_id"].split(".")[1]: event["error"]["info"] for event in failed if event["state_id"] in NAUGHTY}
    assert {step: info["code"] for step, info in last.items()} == {
        "emitting": "secrets_detected",
        "returning": "secrets_detected",
        "raising": "step_raised",
    }
    assert last["raising"]["message"].startswith("ConnectionError: [secret CANARY_0] [secret file:")
    assert [line for line in outcome.events if "itself_" in str(line["event"]) and line["event"] not in failed] == []
    again = [event["error"]["info"]["message"] for event in failed if event["state_id"].startswith("canaries.canary_")]
    assert len(again) == 50
    assert all(message.startswith("again [secret ") for message in again)


@pytest.mark.parametrize("number", range(50))
def test_a_secret_is_found_nowhere(outcome: Outcome, number: int) -> None:
    """Not in the database, its log or a file, not in what the run or a look at it prints, in no form."""
    assert found(value_of(number), outcome.left) == []


def test_what_the_server_itself_gave_away_is_found_nowhere(outcome: Outcome) -> None:
    """A header of a secret's name is blanked out though nobody knew its value before."""
    assert found("of-the-server-5", outcome.left) == []


@pytest.mark.parametrize("number", range(13))
def test_the_search_finds_what_is_there(number: int) -> None:
    """Each form of a canary, alone or among other bytes, is one the search would have seen."""
    value = value_of(number)
    for data in (
        value.encode(),
        json.dumps({"x": value}).encode(),
        json.dumps(json.dumps({"x": value})).encode(),
        urllib.parse.quote(f"a {value}", safe="").encode(),
        value.encode().hex().encode(),
        *(base64.b64encode(b"xyz"[:before] + value.encode() + b"tail") for before in range(3)),
    ):
        assert found(value, {"here": b"\x00" + data + b"\xff"}), data
