"""The ``io`` a step is handed: typed calls over whatever provider stands behind, live or from the record."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from reprlib import repr as short
from typing import TYPE_CHECKING, Any, Protocol, overload

import msgspec

from durum.core.canonical import parse_json
from durum.core.facts import explicit_key, outcome
from durum.core.ids import FactKey
from durum.core.payload import decode_payload
from durum.core.state import DONE, IoCall, IoProvider, IoResult
from durum.engine.file_calls import FileCalls, content_payload
from durum.engine.secret_values import Secret, with_references
from durum.errors import CanonicalJsonError, ConfigError, IoError, MissingFactError, RateLimitedError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from durum.core.canonical import JsonObject, JsonValue
    from durum.core.state import EventRecorder
    from durum.engine.artifacts import ArtifactReader

_MAX_SLEEP = timedelta(minutes=5)
_FAILED = 400
_PASSING = frozenset({408, 425})  # timeout, too early
_TOO_MANY = 429
_SERVER_FAILED = 500
_SHOWN_CHARACTERS = 500
_SECONDS_DIGITS = 10  # three centuries; a number beyond 2^53 could not be recorded


class ExecResult(msgspec.Struct, frozen=True):
    """What a process left: its exit code (negative: the signal that ended it) and output bytes."""

    exit_code: int
    stdout_bytes: bytes
    stderr_bytes: bytes

    @property
    def stdout(self) -> str:
        """Standard output as UTF-8; bytes that are not become U+FFFD."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """Standard error as UTF-8; bytes that are not become U+FFFD."""
        return self.stderr_bytes.decode("utf-8", "replace")


class HttpResponse(msgspec.Struct, frozen=True):
    """An HTTP response: status, final URL, headers (lowercase names, in order) and body bytes."""

    status: int
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8; bytes that are not become U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> JsonValue:
        """Return the body parsed as strict JSON."""
        return parse_json(self.body)

    def header(self, name: str) -> str | None:
        """Return the first header of that name, any case."""
        return next((value for key, value in self.headers if key == name.lower()), None)


class Provider(IoProvider, Protocol):
    """What stands behind ``Io``: the contract's calls, and a pause that replay does not wait for."""

    async def pause(self, seconds: float) -> None:
        """Pause inside the process."""


class Io(FileCalls):
    """Everything a step may ask of the outside. Each outcome is recorded; nothing here parks a run."""

    def __init__(
        self, provider: Provider, recorder: EventRecorder, reader: ArtifactReader, progress: Callable[[str], None]
    ) -> None:
        self._provider: Provider = provider
        self._recorder = recorder
        self._reader = reader
        self._progress = progress

    # --- the seed's contract ----------------------------------------------------------------------------------------

    @overload
    async def call(self, namespace: IoCall) -> IoResult: ...

    @overload
    async def call(
        self, namespace: str, request: dict[str, Any], *, fact_key: str | None = None, keep: str = "run", read: bool = True
    ) -> JsonValue: ...

    async def call(
        self,
        namespace: str | IoCall,
        request: dict[str, Any] | None = None,
        *,
        fact_key: str | None = None,
        keep: str = "run",
        read: bool = True,
    ) -> JsonValue | IoResult:
        """Call any registered transport and return its response; a recorded failure is raised as ``TransportError``.

        A ``Secret`` in the request becomes its reference, ``{"$secret": NAME}``, which the transport resolves. States that
        implement the seed's contract pass an ``IoCall`` and get an ``IoResult``.
        """
        if isinstance(namespace, IoCall):
            return await self._provider.call(namespace)
        call = IoCall(namespace, request or {}, fact_key, keep, read)
        try:
            return (await self._provider.call(call)).response
        except CanonicalJsonError:  # nothing was called; a Secret has no JSON form
            call = msgspec.structs.replace(call, request=with_references(call.request))
        return (await self._provider.call(call)).response

    async def record_value(self, key: str, value: object) -> str:
        """Bind a value to a key and return its artifact id; binding another value to it is a ``FactConflictError``."""
        return await self._provider.record_value(explicit_key(key), value)

    async def get_recorded_fact(self, key: str) -> str | None:
        """Return the artifact id bound to a key, None if unbound."""
        return await self._provider.get_recorded_fact(str(FactKey(key)))

    async def now_millis(self) -> int:
        """Return the time in ms since the Unix epoch."""
        return await self._provider.now_millis()

    async def recorded(self, key: str) -> JsonValue:
        """Return the value bound to an explicit key; ``MissingFactError`` if there is none."""
        payload_id = await self.get_recorded_fact(key)
        if payload_id is None:
            raise MissingFactError(key)
        return outcome(await self._reader.get(payload_id))

    async def now(self) -> datetime:
        """Return the time in UTC, to the millisecond."""
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=await self._provider.now_millis())

    async def random_bytes(self, n: int) -> bytes:
        """Return ``n`` random bytes, the same in every attempt."""
        return await self._provider.random_bytes(n)

    async def uuid(self) -> uuid.UUID:
        """Return a random UUID (version 4), the same in every attempt."""
        return uuid.UUID(bytes=await self._provider.random_bytes(16), version=4)

    # --- processes --------------------------------------------------------------------------------------------------

    async def exec(  # noqa: PLR0913 - what a process needs, each by keyword
        self,
        argv: Sequence[str],
        *,
        cwd: str | PathLike[str] | None = None,
        env: Mapping[str, str | Secret] | None = None,
        stdin: bytes | str | None = None,
        timeout: timedelta | None = None,  # noqa: ASYNC109 - enforced by the transport, and part of the recorded request
        max_output_bytes: int | None = None,
        check: bool = True,
        keep: str = "run",
        read: bool = True,
    ) -> ExecResult:
        """Run a declared command as an argv list, never through a shell.

        Raises:
            TransportError: with ``check``, code ``exec_failed`` for a non-zero exit; else only if it could not run to its end.
        """
        if isinstance(argv, str | bytes):
            message = "io.exec takes a list such as ['git', 'log'], for no shell is ever used"
            raise ConfigError(message)
        request: JsonObject = {"argv": [str(part) for part in argv]}
        if cwd is not None:
            request["cwd"] = str(cwd)
        if env is not None:
            request["env"] = {name: _plain(value) for name, value in env.items()}
        if stdin is not None:
            request["stdin"] = content_payload(stdin)
        if timeout is not None:
            request["timeout_ms"] = _milliseconds(timeout)
        if max_output_bytes is not None:
            request["max_output_bytes"] = max_output_bytes
        judge = _exit_judge(request["argv"]) if check else None
        response = (await self._provider.call(IoCall("exec", request, None, keep, read, judge))).response
        return exec_result(response)

    # --- HTTP -------------------------------------------------------------------------------------------------------

    async def http(  # noqa: PLR0913 - what a request needs, each by keyword
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str | Secret | JsonObject] | None = None,
        json: JsonValue = None,
        body: bytes | str | None = None,
        timeout: timedelta | None = None,  # noqa: ASYNC109 - enforced by the transport, and part of the recorded request
        max_body_bytes: int | None = None,
        follow_redirects: bool = True,
        check: bool = True,
        keep: str = "run",
        read: bool | None = None,
    ) -> HttpResponse:
        """Make an HTTP request. ``read`` defaults to whether the method is safe (GET, HEAD, OPTIONS).

        Raises:
            TransportError: with ``check``, code ``http_status`` for a status of 400 and more (429: ``RateLimitedError``).
        """
        request: JsonObject = {"method": method.upper(), "url": url}
        if headers is not None:
            request["headers"] = {name: _plain(value) for name, value in headers.items()}
        if json is not None:
            request["body"] = {"json": json}
        elif body is not None:
            request["body"] = content_payload(body)
        if timeout is not None:
            request["timeout_ms"] = _milliseconds(timeout)
        if max_body_bytes is not None:
            request["max_body_bytes"] = max_body_bytes
        if not follow_redirects:
            request["follow_redirects"] = False
        reads = method.upper() in {"GET", "HEAD", "OPTIONS"} if read is None else read
        judge = _status_judge(method, url) if check else None
        return http_response((await self._provider.call(IoCall("http", request, None, keep, reads, judge))).response)

    # --- reports ----------------------------------------------------------------------------------------------------

    def emit(self, name: str, payload: object = None, *, verbose: bool = False) -> Any:  # noqa: ANN401 - see ``Done``
        """Report a domain event; it enters the log with the attempt's next append."""
        return self._recorder.emit(name, payload, verbose=verbose)

    def progress(self, message: str) -> Any:  # noqa: ANN401 - see ``Done``
        """Show a line to whoever watches; never recorded."""
        self._progress(str(message))
        return DONE

    async def sleep(self, duration: timedelta) -> None:
        """Pause inside the process, at most 5 minutes; a wait that must survive a crash is a step of its own."""
        if duration > _MAX_SLEEP:
            message = f"io.sleep is bounded to {_MAX_SLEEP}; a longer wait must be a step that survives a restart"
            raise IoError(message)
        await self._provider.pause(max(0.0, duration.total_seconds()))


def exec_result(response: JsonValue) -> ExecResult:
    """Return an ``exec`` response typed; an answer given by a person may leave out the output, which is empty then.

    Raises:
        IoError: the response has another shape.
    """
    answer = response if isinstance(response, dict) else {}
    code = answer.get("exit_code")
    if not isinstance(code, int) or isinstance(code, bool):
        message = f'the answer of a command must hold its exit code, as in {{"exit_code": 0}}, not {short(response)}'
        raise IoError(message)
    return ExecResult(code, _bytes(answer, "stdout"), _bytes(answer, "stderr"))


def http_response(response: JsonValue) -> HttpResponse:
    """Return an ``http`` response typed; an answer given by a person may leave out all but the status.

    Raises:
        IoError: the response has another shape.
    """
    answer = response if isinstance(response, dict) else {}
    status, url, headers = answer.get("status"), answer.get("url", ""), answer.get("headers", [])
    if not isinstance(status, int) or isinstance(status, bool):
        message = f'the answer of an HTTP request must hold its status, as in {{"status": 200}}, not {short(response)}'
        raise IoError(message)
    if not isinstance(url, str):
        message = f'"url" must be a text, such as "https://example.com/", not {short(url)}'
        raise IoError(message)
    try:
        pairs = msgspec.convert(headers, list[tuple[str, str]])
    except msgspec.ValidationError:
        message = f'"headers" must be a list of pairs, such as [["content-type", "text/plain"]], not {short(headers)}'
        raise IoError(message) from None
    return HttpResponse(status, url, tuple((name.lower(), value) for name, value in pairs), _bytes(answer, "body"))


def _bytes(answer: JsonObject, field: str) -> bytes:
    """Return the bytes of a payload field, none if it is left out; a person may give plain text."""
    if field not in answer:
        return b""
    value = answer[field]
    if isinstance(value, str):
        return value.encode()
    try:
        return decode_payload(value)
    except ValueError as error:
        message = f'"{field}" must be given as text, {{"text": "..."}} or {{"base64": "..."}}: {error}'
        raise IoError(message) from None


def _exit_judge(argv: JsonValue) -> Callable[[JsonValue], None]:
    def judge(response: JsonValue) -> None:
        result = exec_result(response)
        if result.exit_code == 0:
            return
        said = (result.stderr.strip() or result.stdout.strip())[-_SHOWN_CHARACTERS:]
        command = " ".join(str(part) for part in argv[:3]) if isinstance(argv, list) else ""
        message = f"{command} exited with {result.exit_code}" + (f": {said}" if said else "")
        raise TransportError(message, code="exec_failed", details=response)

    return judge


def _status_judge(method: str, url: str) -> Callable[[JsonValue], None]:
    def judge(response: JsonValue) -> None:
        result = http_response(response)
        if result.status < _FAILED:
            return
        message = f"{method.upper()} {url} answered {result.status}"
        details = {"status": result.status, "retry_after_ms": _retry_after_ms(result), "body": result.text[:_SHOWN_CHARACTERS]}
        if result.status == _TOO_MANY:
            raise RateLimitedError(message, details=details)
        retryable = result.status in _PASSING or result.status >= _SERVER_FAILED
        raise TransportError(message, code="http_status", retryable=retryable, details=details)

    return judge


def _retry_after_ms(response: HttpResponse) -> int | None:
    """Return what Retry-After asks for in ms; a date counts from the response's own Date, so that no clock is needed."""
    asked = (response.header("retry-after") or "").strip()
    if asked.isascii() and asked.isdecimal():
        return int(asked.lstrip("0")[:_SECONDS_DIGITS] or "0") * 1000
    until, since = _http_date(asked), _http_date(response.header("date") or "")
    return None if until is None or since is None else max(0, _milliseconds(until - since))


def _http_date(text: str) -> datetime | None:
    """Return the moment an HTTP date in any of its three forms names, None if it is none."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _plain(value: str | Secret | JsonObject) -> JsonValue:
    return value.reference() if isinstance(value, Secret) else value


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
