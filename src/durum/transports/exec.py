"""Run declared commands, never through a shell (namespace ``exec``)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from durum.core.payload import encode_payload
from durum.errors import ConfigError, TransportError
from durum.transports.child_process import ChildSpec, run_child
from durum.transports.exec_environment import inherited_environment, refused_variable, search_path
from durum.transports.request import MAX_PAYLOAD_BYTES, MAX_TIMEOUT_MS, Fields

if TYPE_CHECKING:
    from collections.abc import Collection

    from durum.core.canonical import JsonObject
    from durum.ports import TransportCall

_FIELDS = frozenset({"argv", "cwd", "env", "stdin", "timeout_ms", "max_output_bytes"})
_DEFAULT_TIMEOUT_MS = 60_000
_DEFAULT_OUTPUT_BYTES = 10 * 1024 * 1024


class ExecTransport:
    """Runs one declared command per call and returns its exit code and output.

    Request: ``{"argv": [str, ...], "cwd"?: str, "env"?: {NAME: str | {"$secret": NAME}}, "stdin"?: payload, "timeout_ms"?: int,
    "max_output_bytes"?: int}``; the limit on output is for each of the two streams. ``argv[0]`` is exactly one of ``commands``.
    Outcome: ``{"exit_code": int, "stdout": payload, "stderr": payload}``; a failing command is an outcome, and a death by a
    signal is minus its number. A call that fails or is cancelled kills the whole process tree; after a command that ends by
    itself, what it left in its process group is killed.

    Refused: a command that is not declared under the very text of ``argv[0]`` (a path to a declared name, ``env`` before it,
    words in it), NUL anywhere, and variables in ``env`` that choose what else is run (``PATH``, ``LD_PRELOAD``, ``BASH_ENV``,
    ``PYTHONSTARTUP``, ``GIT_SSH_COMMAND`` and their like; see ``exec_environment``). A bare name is looked for in the absolute
    folders of Durum's own ``PATH``, never in ``cwd`` or the working directory, and the child inherits named variables only.
    Harmless: shell characters and line breaks in an argument, which reach the program as they are. Left to the workflow: an
    argument that begins with ``-`` is an option to the program, so put ``"--"`` before what a user gave; a program reads the
    configuration of ``cwd`` and ``HOME``; to declare a shell, an interpreter or ``env`` is to declare every command.

    Error codes: ``invalid_request``, ``command_not_allowed``, ``command_not_found``, ``cwd_not_found`` and
    ``command_not_started``, all before anything ran; ``exec_timeout`` (retryable), ``output_too_large``.
    """

    def __init__(self, commands: Collection[str], cwd: Path | None = None) -> None:
        if isinstance(commands, str):
            raise ConfigError(f"exec commands must be a collection of names, not the string {commands!r}")
        for command in commands:
            if not command or "\0" in command or (os.sep in command and not Path(command).is_absolute()):
                raise ConfigError(f"exec command {command!r} must be a bare name or an absolute path")
        self._commands = frozenset(commands)
        self._cwd = Path.cwd() if cwd is None else cwd.absolute()

    async def call(self, request: JsonObject, call: TransportCall) -> JsonObject:
        """Run the command; raise ``TransportError`` if it cannot be started, takes too long or writes too much."""
        finished = await run_child(self._spec(Fields("exec", request, _FIELDS), call))
        return {
            "exit_code": finished.exit_code,
            "stdout": encode_payload(finished.stdout),
            "stderr": encode_payload(finished.stderr),
        }

    async def close(self) -> None:
        """Hold nothing between calls."""

    def _spec(self, fields: Fields, call: TransportCall) -> ChildSpec:
        argv = fields.texts("argv")
        if not argv:
            raise fields.refuse("argv must name a command")
        for argument in argv:
            _check_text(fields, "argv", argument)
        return ChildSpec(
            argv=argv,
            executable=self._find(argv[0]),
            cwd=self._directory(fields),
            env=_environment(fields, call),
            stdin=fields.payload("stdin") or b"",
            timeout_ms=fields.integer("timeout_ms", _DEFAULT_TIMEOUT_MS, 1, MAX_TIMEOUT_MS),
            max_output_bytes=fields.integer("max_output_bytes", _DEFAULT_OUTPUT_BYTES, 0, MAX_PAYLOAD_BYTES),
        )

    def _find(self, command: str) -> str:
        if command not in self._commands:
            declared = ", ".join(sorted(self._commands)) or "none"
            raise TransportError(
                f"command {command!r} is not declared; declare it beside the others ({declared}) to allow it",
                code="command_not_allowed",
                details={"command": command},
            )
        found = shutil.which(command, path=search_path())
        if found is None:
            where = "is not an executable file" if os.sep in command else "was not found on PATH"
            raise TransportError(
                f"command {command!r} {where}; install it on this machine",
                code="command_not_found",
                details={"command": command},
            )
        return str(Path(found).absolute())

    def _directory(self, fields: Fields) -> str:
        directory = self._cwd
        if "cwd" in fields:
            _check_text(fields, "cwd", fields.text("cwd"))
            directory /= fields.text("cwd")
        if not os.path.isdir(directory):  # noqa: PTH112 - Path.is_dir raises where it may not look
            raise TransportError(
                f"working directory {directory} does not exist; create it or correct cwd",
                code="cwd_not_found",
                details={"cwd": str(directory)},
            )
        return str(directory)


def _environment(fields: Fields, call: TransportCall) -> dict[str, str]:
    env = inherited_environment()
    if call.effect_key is not None:
        env["DURUM_IDEMPOTENCY_KEY"] = call.effect_key
    for name, value in fields.mapping("env").items():
        reason = refused_variable(name)
        if reason is not None:
            raise fields.refuse(reason)
        env[name] = fields.reveal(f"env {name}", value, call)[0]
    for name, text in env.items():
        _check_text(fields, f"env {name}", text)
    return env


def _check_text(fields: Fields, where: str, text: str) -> None:
    """Refuse what the system cannot pass on; ``text`` may be a secret, so it is not repeated."""
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        raise fields.refuse(f"{where} holds a character that the system cannot encode") from None
    if b"\0" in encoded:
        raise fields.refuse(f"{where} holds a NUL character")
