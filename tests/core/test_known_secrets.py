"""A secret whose value is known leaves no trace in what comes back, whatever form it comes back in."""

from __future__ import annotations

import base64
import html
import json
import re
import string
import textwrap
import urllib.parse
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from durum.core.canonical import canonical_json
from durum.core.known_secrets import SHORTEST_SECRET, KnownSecrets
from durum.core.payload import decode_payload, encode_payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.canonical import JsonValue

LABEL = "[secret NAME]"
HTTPX_SAFE = "!$&'()*+,;=:@[]|"
WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON as UTF-8": lambda value: json.dumps(value, ensure_ascii=False),
    "JSON in JSON": lambda value: json.dumps(json.dumps(value)),
    "JSON with slashes escaped": lambda value: json.dumps(value).replace("/", "\\/"),
    "Python": repr,
    "Python bytes": lambda value: repr(value.encode()),
    "Python escapes": lambda value: value.encode("unicode_escape").decode(),
    "HTML": html.escape,
    "HTML numbers": lambda value: html.escape(value).encode("ascii", "xmlcharrefreplace").decode(),
    "URL": urllib.parse.quote,
    "URL query": urllib.parse.quote_plus,
    "URL, every character": lambda value: urllib.parse.quote(value, safe=""),
    "URL, as a client": lambda value: urllib.parse.quote(value, safe=HTTPX_SAFE),
    "URL, lower case": lambda value: re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(value)),
    "URL in a URL": lambda value: urllib.parse.quote(urllib.parse.quote(value)),
    "Windows lines": lambda value: value.replace("\r\n", "\n").replace("\n", "\r\n"),
    "hex": lambda value: value.encode().hex(),
    "HEX": lambda value: value.encode().hex().upper(),
    "hex with colons": lambda value: value.encode().hex(":"),
    "hex in lines": lambda value: "\n".join(textwrap.wrap(value.encode().hex(), 60)),
}
EDGE = set("\\'\"bxnoT")  # what the forms put around a value, and backslashes that a deeper escape doubled once more

VALUES = (
    st.text(st.sampled_from(string.printable + "éß€\u4e2d\U0001f600"), min_size=SHORTEST_SECRET, max_size=90)
    .filter(lambda value: len(value.strip()) >= SHORTEST_SECRET)
    .map(str.strip)
)


def known(value: str, name: str = "NAME") -> KnownSecrets:
    """Return what knows one secret."""
    secrets = KnownSecrets()
    secrets.add(name, value)
    return secrets


@settings(max_examples=60, deadline=None)
@given(value=VALUES)
@example(value="p@ss w/rd+\\é\"'\n<&>\U0001f600")
@example(value="x" * 300)
@pytest.mark.parametrize("form", WRITTEN)
def test_every_spelling_is_replaced_whole(form: str, value: str) -> None:
    """JSON, URLs, HTML, Python and hex; nothing but the quotes of the form is left around the label."""
    written = WRITTEN[form](value)
    before, label, after = known(value).scrub_text(written).partition(LABEL)
    assert label == LABEL, written
    assert set(before + after) <= EDGE, written


@settings(max_examples=300, deadline=None)
@given(
    value=VALUES,
    before=st.binary(max_size=5),
    after=st.binary(max_size=5),
    width=st.sampled_from([4, 17, 76, 500]),
    encode=st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]),
)
def test_base64_is_replaced_whatever_stands_beside_the_secret(
    value: str, before: bytes, after: bytes, width: int, encode: Callable[[bytes], bytes]
) -> None:
    """As in `Basic` credentials: the secret may begin at any byte, be broken into lines, and use either alphabet."""
    data = value.encode()
    written = "\n".join(textwrap.wrap(encode(before + data + after).decode(), width))
    cleaned = known(value).scrub_text(written)
    assert LABEL in cleaned
    rest = re.sub(r"[\n=]", "", cleaned.replace(LABEL, ""))
    assert (len(rest) - 1) * 6 <= (len(before) + len(after)) * 8  # of a period, the first that fits


@settings(deadline=None)
@given(VALUES)
def test_bytes_that_are_no_text_are_searched_as_bytes(value: str) -> None:
    """Output that is not UTF-8 travels as base64 of all of it; the bytes around the secret stay."""
    payload: JsonValue = {"stdout": encode_payload(b"\xff\xfe" + value.encode() + b"\xfa"), "n": 1}
    cleaned = known(value).scrub(payload)
    assert isinstance(cleaned, dict)
    assert decode_payload(cleaned["stdout"]) == b"\xff\xfe" + LABEL.encode() + b"\xfa"


def test_a_secret_in_latin_1_is_found() -> None:
    """A process in an old locale prints one byte a letter."""
    payload = encode_payload("Kennwort pässwörter!".encode("latin-1"))
    assert decode_payload(known("pässwörter").scrub(payload)) == f"Kennwort {LABEL}!".encode()


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.text("ab", min_size=4, max_size=9), min_size=2, max_size=5, unique=True),
    text=st.text("abc", max_size=30),
)
def test_secrets_in_and_across_each_other_leave_nothing(values: list[str], text: str) -> None:
    """Whichever was resolved first: what any of them covers in the text is gone, and all else stays."""
    secrets = KnownSecrets()
    covered = set()
    for place, value in enumerate(values):
        secrets.add(f"N{place}", value)
        for match in re.finditer(value, text):
            covered |= set(range(*match.span()))
    left = re.sub(r"\[secret N\d\]", "", secrets.scrub_text(text))
    assert left == "".join(letter for place, letter in enumerate(text) if place not in covered)


def test_the_longer_of_two_that_begin_together_is_named() -> None:
    """A token and the same token with a suffix are told apart, in either order; of two equal ones the first is named."""
    for order in (["token", "token-suffix"], ["token-suffix", "token"]):
        secrets = KnownSecrets()
        for value in order:
            secrets.add(value.upper(), value)
        assert secrets.scrub_text("token, token-suffix") == "[secret TOKEN], [secret TOKEN-SUFFIX]"
    twins = known("the same", "A")
    twins.add("B", "the same")
    assert twins.scrub_text("the same") == "[secret A]"


def test_a_name_that_changed_its_value_keeps_the_old_one() -> None:
    """A file was written anew between two calls: an answer may repeat either."""
    secrets = known("old-value")
    secrets.add("NAME", "new-value")
    assert secrets.scrub_text("old-value new-value") == f"{LABEL} {LABEL}"
    assert dict(secrets.values()) == {"NAME": "new-value"}
    assert len(secrets.values()) == 2


def test_space_around_a_value_is_no_part_of_it() -> None:
    """A shell and an HTTP server drop it, and say the rest."""
    assert known(" padded\n").scrub_text("<padded>") == f"<{LABEL}>"


def test_keys_and_numbers_are_replaced_too() -> None:
    """A key stays a key of its own, a number that is the secret goes, and whatever else there is stays as it is."""
    secrets = known("31337")
    value: JsonValue = {"31337": [31337, 313370, 31337.5, True, None], "[secret NAME]": {"31337x": "31337"}}
    assert secrets.scrub(value) == {
        LABEL: [LABEL, 313370, 31337.5, True, None],
        f"{LABEL}'": {f"{LABEL}x": LABEL},
    }


def test_without_secrets_a_value_is_handed_back() -> None:
    """The common case costs nothing."""
    value: JsonValue = {"a": ["b"]}
    assert KnownSecrets().scrub(value) is value
    assert known("absent").scrub(value) == value


def test_an_answer_made_to_take_long_does_not() -> None:
    """Megabytes of backslashes, percent signs or one letter of the secret: every form is looked for in one pass."""
    secrets = known('"\\ab %' + "a" * 100 + "é")
    for text in ("\\" * 500_000, "%25" * 200_000, "a" * 500_000, "6" * 500_000, "[secret " * 50_000):
        assert secrets.scrub_text(text) == text


def test_the_longest_secret_is_replaced() -> None:
    """64 KiB of text with line ends, as it is and in base64, for instance a file of keys."""
    value = "".join(f"{place * 7919:063x}\n" for place in range(1020)).strip()
    secrets = known(value)
    assert len(value) > 65_000
    assert secrets.scrub_text(f"<{value}>") == f"<{LABEL}>"
    assert secrets.scrub_text(canonical_json(value).decode()) == f'"{LABEL}"'
    assert len(secrets.scrub_text(base64.encodebytes(value.encode()).decode())) < 30
    assert secrets.scrub_text(value.encode().hex()) == LABEL


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ("seen hunter2!", "$"),
        ({"a": [1, {"b": "hunter2!"}]}, "$.a[1].b"),
        ({"hunter2!": 1}, "$['hunter2!']"),
        ({"of": encode_payload(b"\xffhunter2!")}, "$.of"),
        ([base64.b64encode(b"user:hunter2!").decode()], "$[0]"),
        ([12, 123456], "$[1]"),
        ([1234567, True, None, 1.5, "Tru", "hunter2", {}], None),
    ],
    ids=range(7),
)
def test_a_secret_is_found_where_it_is(value: JsonValue, where: str | None) -> None:
    """What ``find`` finds is what ``scrub`` would replace; a value without one is searched to its end."""
    known = KnownSecrets()
    assert not known
    assert known.find(value) is None
    known.add("NUMBER", "123456")
    known.add("BOOLEAN", "True")
    known.add("NAME", "hunter2!")
    assert known
    found = known.find(value)
    assert (found and found[0]) == where
    assert (known.scrub(value) == value) is (where is None)
    assert found is None or found[1] == ("NUMBER" if where == "$[1]" else "NAME")
