"""Finds and blanks out secrets in JSON values and text: by the name of a key, or by the format of a known token.

Two rules, and no guess beyond them: prose that mentions a password is no secret. ``may_hold_secret`` answers for canonical
bytes at a few ns a byte and never misses what ``find_secret`` finds, so a walk is made only where it says True.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from durum.core.canonical import decode_json
from durum.core.exact_copy import json_path
from durum.core.payload import payload_of_text, payload_text
from durum.errors import SecretsDetectedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durum.core.canonical import JsonValue

REDACTED: Final = "[secret]"
KEY_NAME_RULE: Final = "key name"

# --- rule 1: a non-empty text under one of these names, alone or as the last words of a longer name; beside it in headers --

_NAMES: Final = (
    "password",
    "passwd",
    "pgpassword",
    "passphrase",
    "mnemonic",
    "seed_phrase",
    "private_key",
    "access_key",
    "access_key_id",
    "secret_key",
    "api_key",
    "api_secret",
    "client_secret",
    "access_token",
    "refresh_token",
    "id_token",
    "auth_token",
    "bearer_token",
    "session_token",
    "api_token",
    "authorization",
)
_SEPARATORS: Final = "-_ .:/"
_WORD_START: Final = r"(?:(?<![A-Za-z0-9])|(?-i:(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])))"
_NAME: Final = _WORD_START + "(?:" + "|".join(name.replace("_", f"[{_SEPARATORS}]*") for name in _NAMES) + ")"
_SECRET_KEY: Final = re.compile(rf"{_NAME}[{_SEPARATORS}0-9]*\Z", re.IGNORECASE | re.ASCII)

# What people write where a secret will be put: ***, <your key>, ${KEY}, {{ key }}, [secret], after a scheme such as Bearer too.
_PLACEHOLDER: Final = re.compile(
    r"(?:(?:bearer|basic|token)\s+)?"
    r"(?:|\*+|x{3,}|\.{3}|\[[^\]]*\]|<[^>]*>|\$\{[^}]*\}|\$?\{\{[^}]*\}\}|\$[A-Z_][A-Z0-9_]*"
    r"|redacted|none|null|your[-_ ][a-z_ -]*)",
    re.IGNORECASE,
)

# --- rule 2: a token of a known format, anywhere in any text --------------------------------------------------------------


class _Format(NamedTuple):
    rule: str
    start: str  # literal; regexes that begin so are fast
    rest: str
    bounded: bool = True  # the start begins a word: `task-...` holds no `sk-` key


_RUN: Final = "[A-Za-z0-9_-]"  # what most tokens are written in
_HAS_DIGIT: Final = rf"(?={_RUN}*[0-9])"
_BEARER_REST: Final = r" +(?=[A-Za-z0-9._~+/=-]*[0-9])[A-Za-z0-9._~+/=-]{20,}"
_FORMATS: Final = (
    _Format("sk- API key", "sk-", rf"{_HAS_DIGIT}{_RUN}{{20,}}"),
    _Format("Stripe key", "sk_", "(?:live|test)_[A-Za-z0-9]{16,}"),
    _Format("Stripe key", "rk_", "(?:live|test)_[A-Za-z0-9]{16,}"),
    _Format("GitHub token", "gh", "[opsur]_[A-Za-z0-9]{30,}"),
    _Format("GitHub token", "github_pat_", "[A-Za-z0-9_]{22,}"),
    _Format("GitLab token", "glpat-", rf"{_RUN}{{20,}}"),
    _Format("AWS access key", "AKIA", "[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _Format("AWS access key", "ASIA", "[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _Format("Google API key", "AIza", rf"{_RUN}{{35,}}"),
    _Format("Slack token", "xox", rf"[abprs]-{_HAS_DIGIT}{_RUN}{{10,}}"),
    _Format("Hugging Face token", "hf_", "[A-Za-z0-9]{30,}"),
    _Format("JSON web token", "eyJ", rf"{_RUN}{{8,}}\.eyJ{_RUN}{{8,}}\.{_RUN}{{10,}}"),
    _Format("bearer token", "Bearer", _BEARER_REST),
    _Format("bearer token", "bearer", _BEARER_REST),
    _Format(
        "private key",
        "-----BEGIN ",
        r"(?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?=(?:\s|\\+[nr])*[A-Za-z0-9+/=:-]{10})"
        r"[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
        bounded=False,
    ),
    _Format("password in a URL", "://", r"[^\s/:@?#\"'<>]*:(?![{<$*\[])[^\s/?#\"'<>]+(?=@)", bounded=False),
)


def _pattern(token: _Format) -> str:
    # The boundary comes after the literal start, which a regex search can then skip to.
    start = re.escape(token.start)
    return start + (rf"(?<![A-Za-z0-9_-]{start})" if token.bounded else "") + token.rest


_TOKEN: Final = re.compile("|".join(map(_pattern, _FORMATS)))

# NAME=value and 'NAME': 'value', in log lines, DSNs, query strings, printed dicts and JSON inside JSON.
_ASSIGNMENT: Final = re.compile(
    rf"""(?P<name>{_NAME}[_.0-9-]*\\*["']?\s*(?:=\s*|:\s*(?=\\*["'])))(?P<quote>\\*["'])?"""
    r"""(?P<value>(?(quote)(?:(?!(?P=quote))(?:\\.|[^\\\n]))+|(?:\[secret [^\]\n]{1,255}\]|[^\s"'&;,\\])+))""",
    re.IGNORECASE | re.ASCII,
)

# --- the cheap test over canonical bytes ----------------------------------------------------------------------------------

# The formats again, without word boundaries (an escape such as \n hides one in JSON text) and led by their rarest character:
# whether that is there at all is found at memory speed, and much of what is written has none.
_TOKEN_HINTS: Final = tuple(
    (pattern[0], re.compile(pattern).search)  # a byte is looked for as a number: as bytes it costs an exception inside
    for pattern in (
        rb"-(?:(?<=sk-)[A-Za-z0-9_-]{20}|(?<=glpat-)|(?<=xox[abprs]-))",
        rb"_(?:(?<=k_)(?:live|test)_|(?<=github_)pat_|(?:(?<=gh[opsur]_)|(?<=hf_))[A-Za-z0-9]{30})",
        rb"A(?:[KS]IA[A-Z0-9]{16}|Iza)",
        rb"J(?<=\.eyJ)",
        rb"K(?<=PRIVATE K)EY",
        rb"earer +[A-Za-z0-9._~+/=-]{20}",
    )
)
_AT: Final = ord("@")
_URL_HINT: Final = re.compile(rb'://[^/@"]*:[^/"]+@')

# Without separators, colons and commas, and read backwards, every secret name comes right after two quotes.
_LOWER: Final = bytes(range(256)).lower()
_DROPPED: Final = f"{_SEPARATORS},0123456789".encode()
_KEY_HINT: Final = re.compile(b'""(?:' + b"|".join(name.replace("_", "")[::-1].encode() for name in _NAMES) + b")")


def may_hold_secret(data: bytes) -> bool:
    """Tell whether canonical JSON might hold a secret; False is certain, True is for ``find_secret`` to decide."""
    for letter, search in _TOKEN_HINTS:
        if letter in data and search(data) is not None:
            return True
    return (
        _KEY_HINT.search(data.translate(_LOWER, _DROPPED)[::-1]) is not None
        or (_AT in data and _URL_HINT.search(data) is not None)
        or data.find(b'{"base64":"') >= 0
    )


# --- finding --------------------------------------------------------------------------------------------------------------


def find_secret(value: JsonValue) -> tuple[str, str] | None:
    """Return where the first secret of a JSON value is, as ``$.a[0]``, and the rule that tells; None if there is none."""
    for where, rule in _secrets(value, ()):
        return json_path(_redact_tokens(part) if isinstance(part, str) else part for part in where), rule
    return None


def refuse_secrets(where: str, data: bytes) -> None:
    """Refuse canonical JSON that is about to be stored and holds a secret; ``where`` is what it is called in the error.

    Raises:
        SecretsDetectedError: the first secret, by its path and rule.
    """
    if may_hold_secret(data):
        found = find_secret(decode_json(data))
        if found is not None:
            raise SecretsDetectedError(where, *found)


def _secrets(value: JsonValue, where: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        if match := _TOKEN.search(value):
            yield where, _rule(match)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _secrets(item, (*where, index))
    elif isinstance(value, dict):
        yield from _member_secrets(value, where)


def _member_secrets(value: dict[str, JsonValue], where: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    hidden = payload_text(value)
    if hidden is not None and (match := _TOKEN.search(hidden)):
        yield where, _rule(match)
    for key, item in value.items():
        here = (*where, key)
        yield from _secrets(key, here)
        if _is_named_secret(key, item):
            yield here, KEY_NAME_RULE
        for index, pair in _pairs(key, item):
            if _is_named_secret(*pair):
                yield (*here, index), KEY_NAME_RULE
        yield from _secrets(item, here)


def _pairs(key: str, value: JsonValue) -> Iterator[tuple[int, tuple[str, JsonValue]]]:
    """Yield the place, name and value of HTTP headers kept as pairs; only there does a text name the one beside it."""
    if key.lower().endswith("headers") and isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):  # noqa: PLR2004 - a pair
                yield index, (item[0], item[1])


def _is_named_secret(key: str, value: JsonValue) -> bool:
    return isinstance(value, str) and _SECRET_KEY.search(key) is not None and _PLACEHOLDER.fullmatch(value.strip()) is None


def _rule(match: re.Match[str]) -> str:
    return next(token.rule for token in _FORMATS if match[0].startswith(token.start))


# --- blanking out ---------------------------------------------------------------------------------------------------------


def redact(value: JsonValue) -> JsonValue:
    """Return ``value`` itself if it holds no secret, else a copy with each one replaced by ``[secret]``.

    A text under a secret name is replaced whole; of any other text only the token.
    """
    if isinstance(value, str):
        return _redact_tokens(value)
    if isinstance(value, list):
        items = [redact(item) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if isinstance(value, dict):
        hidden = payload_text(value)
        if hidden is not None and _TOKEN.search(hidden):
            return payload_of_text(_redact_tokens(hidden))
        return _redact_members(value)
    return value


def _redact_members(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    members: dict[str, JsonValue] = {}
    changed = False
    for key, item in value.items():
        name = _redact_tokens(key)
        while name in members:
            name += "'"  # two keys that were tokens stay two keys
        members[name] = REDACTED if _is_named_secret(key, item) else redact(_without_named(key, item))
        changed = changed or name is not key or members[name] is not item
    return members if changed else value


def _without_named(key: str, value: JsonValue) -> JsonValue:
    named: dict[int, JsonValue] = {
        index: [name, REDACTED] for index, (name, item) in _pairs(key, value) if _is_named_secret(name, item)
    }
    if not named or not isinstance(value, list):
        return value
    return [named.get(index, item) for index, item in enumerate(value)]


def redact_text(text: str) -> str:
    """Replace the secrets of a message or a log line: tokens, and values given as ``password=...`` or ``'password': '...'``."""
    return _ASSIGNMENT.sub(_redact_assignment, _redact_tokens(text))


def _redact_tokens(text: str) -> str:
    while _TOKEN.search(text):  # what follows a token may be one itself once a bracket precedes it
        text = _TOKEN.sub(_redact_token, text)
    return text


def _redact_token(match: re.Match[str]) -> str:
    return f"://{REDACTED}" if match[0].startswith("://") else REDACTED


def _redact_assignment(match: re.Match[str]) -> str:
    if _PLACEHOLDER.fullmatch(match["value"].strip()):
        return match[0]
    return match["name"] + (match["quote"] or "") + REDACTED
