r"""Identifiers, each checked where it is made and where it is decoded.

Every id is a ``str`` subclass for code and an ``Annotated[str, ...]`` twin (``...Field``) for msgspec structs; both share one
pattern. Patterns are anchored with ``\Z`` because ``$`` lets a trailing newline pass.
"""

from __future__ import annotations

import re
import uuid
from typing import Annotated, ClassVar, Final, Self

import msgspec

from durum.errors import InvalidIdError

_SEGMENT: Final = r"[a-z][a-z0-9_]{0,62}"
_SEGMENT_PATTERN: Final = rf"^{_SEGMENT}\Z"
_OP_PATH_PATTERN: Final = rf"^{_SEGMENT}\.{_SEGMENT}\Z"
_STATE_ID_PATTERN: Final = rf"^{_SEGMENT}\.{_SEGMENT}\.{_SEGMENT}\Z"
_ARTIFACT_ID_PATTERN: Final = r"^[0-9a-f]{64}\Z"
_FACT_KEY_PATTERN: Final = r"^[\x21-\x7e]{1,512}\Z"
_CONTEXT_KEY_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_.:/-]{0,254}\Z"
_RUN_ID_PATTERN: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z"

_SEGMENT_RULE: Final = "1 to 63 of a-z, 0-9 and _, starting with a letter"
_SEGMENT_RE: Final = re.compile(_SEGMENT_PATTERN)

OpIdField = Annotated[str, msgspec.Meta(pattern=_SEGMENT_PATTERN)]
OpPathField = Annotated[str, msgspec.Meta(pattern=_OP_PATH_PATTERN)]
StateIdField = Annotated[str, msgspec.Meta(pattern=_STATE_ID_PATTERN)]
ArtifactIdField = Annotated[str, msgspec.Meta(pattern=_ARTIFACT_ID_PATTERN)]
FactKeyField = Annotated[str, msgspec.Meta(pattern=_FACT_KEY_PATTERN)]
ContextKeyField = Annotated[str, msgspec.Meta(pattern=_CONTEXT_KEY_PATTERN)]
ErrorCodeField = Annotated[str, msgspec.Meta(pattern=_SEGMENT_PATTERN)]
RunIdField = Annotated[str, msgspec.Meta(pattern=_RUN_ID_PATTERN)]


def segment_is_valid(text: str) -> bool:
    """Tell whether ``text`` may be one segment of an id."""
    return _SEGMENT_RE.search(text) is not None


class _Id(str):
    """A string that was checked against the pattern of its kind."""

    __slots__ = ()

    kind: ClassVar[str]
    rule: ClassVar[str]
    pattern: ClassVar[re.Pattern[str]]

    def __new__(cls, value: object) -> Self:
        """Check ``value``; ``InvalidIdError`` names the rule it breaks."""
        if not isinstance(value, str) or cls.pattern.search(value) is None:
            raise InvalidIdError(cls.kind, value, cls.rule)
        # str(value) would take the text from an overridden __str__, which the pattern never saw.
        return super().__new__(cls, str.__str__(value))


class OpId(_Id):
    """Names a workflow: one segment."""

    __slots__ = ()
    kind = "op_id"
    rule = _SEGMENT_RULE
    pattern = _SEGMENT_RE


class ErrorCode(_Id):
    """Names a kind of failure: one segment, stable across releases."""

    __slots__ = ()
    kind = "error_code"
    rule = _SEGMENT_RULE
    pattern = _SEGMENT_RE


class OpPath(_Id):
    """Names a step: ``machine.step``."""

    __slots__ = ()
    kind = "op_path"
    rule = f"machine.step, each {_SEGMENT_RULE}"
    pattern = re.compile(_OP_PATH_PATTERN)

    @property
    def machine(self) -> str:
        """The workflow's segment."""
        return self.split(".")[0]

    @property
    def step(self) -> str:
        """The step's segment."""
        return self.split(".")[1]


class StateId(_Id):
    """Names a state: ``machine.step.state``."""

    __slots__ = ()
    kind = "state_id"
    rule = f"machine.step.state, each {_SEGMENT_RULE}"
    pattern = re.compile(_STATE_ID_PATTERN)

    @property
    def machine(self) -> str:
        """The workflow's segment."""
        return self.split(".")[0]

    @property
    def step(self) -> str:
        """The step's segment."""
        return self.split(".")[1]

    @property
    def local(self) -> str:
        """The state's own segment."""
        return self.split(".")[2]


class ArtifactId(_Id):
    """Names immutable bytes: their SHA-256 in lowercase hex."""

    __slots__ = ()
    kind = "artifact_id"
    rule = "64 lowercase hex digits"
    pattern = re.compile(_ARTIFACT_ID_PATTERN)


class FactKey(_Id):
    """Names the recorded outcome of one IO call."""

    __slots__ = ()
    kind = "fact_key"
    rule = "1 to 512 printable ASCII characters without spaces"
    pattern = re.compile(_FACT_KEY_PATTERN)


class ContextKey(_Id):
    """Names one value of a run's context."""

    __slots__ = ()
    kind = "context_key"
    rule = "1 to 255 of letters, digits and _ . : / -, starting with a letter or _"
    pattern = re.compile(_CONTEXT_KEY_PATTERN)


class RunId(_Id):
    """Names a run: a UUID in its canonical lowercase text; new ones are version 7, so they sort by time."""

    __slots__ = ()
    kind = "run_id"
    rule = "a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057"
    pattern = re.compile(_RUN_ID_PATTERN)

    @classmethod
    def new(cls, now_ms: int, random: bytes) -> Self:
        """Make a UUIDv7 (RFC 9562) from milliseconds since 1970 and 10 random bytes."""
        bits = now_ms << 80 | int.from_bytes(random, "big")
        bits = bits & ~(0xF << 76) | 0x7 << 76  # version 7
        bits = bits & ~(0x3 << 62) | 0x2 << 62  # the RFC's variant
        return cls(str(uuid.UUID(int=bits)))

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read what a person typed or pasted: upper case is accepted."""
        return cls(text.lower() if isinstance(text, str) else text)
