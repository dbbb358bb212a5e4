"""A secret reference is looked up in the environment or in a file; what cannot be used is refused with what to do."""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any

import pytest

from durum.engine.secret_values import MAX_SECRET_BYTES, Secret, secret_value, with_references
from durum.errors import ConfigError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def refusal(name: str) -> str:
    """Return what is said of a reference nothing can be done with."""
    with pytest.raises(TransportError) as caught:
        secret_value(name)
    assert caught.value.transport_code == "secret_missing"
    assert not caught.value.retryable
    return str(caught.value)


def test_a_name_is_looked_up_in_the_environment_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands there at the time of the call is what counts."""
    for value in ("first", "second "):
        monkeypatch.setenv("DURUM_TEST_TOKEN", value)
        assert secret_value("DURUM_TEST_TOKEN") == value
    monkeypatch.setenv("DURUM_TEST_TOKEN", "")
    assert refusal("DURUM_TEST_TOKEN").endswith("is not set; put it into the environment of the process that runs this")
    monkeypatch.delenv("DURUM_TEST_TOKEN")
    assert "is not set" in refusal("DURUM_TEST_TOKEN")


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("t0ken", "t0ken"),
        ("t0ken\n", "t0ken"),
        ("t0ken\r\n", "t0ken"),
        ("t0ken\n\n", "t0ken\n"),
        (" t0ken ", " t0ken "),
        ("pässwörd\n", "pässwörd"),
        ("line one\nline two\n", "line one\nline two"),
        ("x" * (MAX_SECRET_BYTES - 1) + "\n", "x" * (MAX_SECRET_BYTES - 1)),
    ],
    ids=range(8),
)
def test_a_file_is_read_without_its_last_line_end(tmp_path: Path, content: str, value: str) -> None:
    """Editors and `echo` add one; anything else belongs to the secret."""
    (tmp_path / "token").write_bytes(content.encode())
    assert secret_value(f"file:{tmp_path}/token") == value


def test_a_file_may_be_a_link_and_change(tmp_path: Path) -> None:
    """Mounted secrets are links that are turned to another file when the secret is renewed."""
    for value in ("older", "newer"):
        (tmp_path / value).write_text(value)
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(tmp_path / value)
        assert secret_value(f"file:{tmp_path}/link") == value


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (str, "cannot be read: No such file or directory; put the secret into that file"),
        (lambda path: path.mkdir(), "is not a regular file; put the secret into one"),
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.write_bytes(b""), "is empty; put the secret into that file"),
        (lambda path: path.write_bytes(b"\n"), "is empty"),
        (lambda path: path.write_bytes(b"abc\n"), "is shorter than 4 characters"),
        (lambda path: path.write_bytes(b"  abc  "), "is shorter than 4 characters"),
        (lambda path: path.write_bytes(b"canary\xff"), "is not UTF-8; put the secret into that file as text"),
        (lambda path: path.write_bytes(b"canary" * 11_000), f"is over {MAX_SECRET_BYTES} bytes"),
    ],
    ids=range(9),
)
def test_a_file_that_holds_no_usable_secret_is_refused(tmp_path: Path, make: Callable[[Path], object], said: str) -> None:
    """At once, also a pipe that nobody writes to; the sentence names the file and never repeats what is in it."""
    make(tmp_path / "token")
    message = refusal(f"file:{tmp_path}/token")
    assert message.startswith(f"secret file:{tmp_path}/token {said}")
    assert "canary" not in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_someone_else_is_refused(tmp_path: Path) -> None:
    """The sentence says that it is a matter of permission."""
    (tmp_path / "token").write_text("t0ken")
    (tmp_path / "token").chmod(0)
    assert "cannot be read: Permission denied" in refusal(f"file:{tmp_path}/token")


@pytest.mark.parametrize("name", ["file:", "file:token", "file:~/token", "file:./token", "file:/run/\0token"])
def test_only_an_absolute_path_names_a_file(name: str) -> None:
    """A run may be resumed from another folder by another user, and must mean the same file."""
    assert refusal(name).endswith("names no absolute path; write it as file:/run/secrets/token")


def test_a_secret_too_short_to_be_blanked_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three letters stand everywhere: they could be neither kept out of the record nor told from the rest of it."""
    monkeypatch.setenv("DURUM_TEST_TOKEN", "abc")
    assert "is shorter than 4 characters; one that short cannot be blanked out" in refusal("DURUM_TEST_TOKEN")


@pytest.mark.parametrize(
    "use",
    [
        str,
        "{}".format,
        lambda secret: f"Bearer {secret}",
        lambda secret: f"{secret:>20}",
        lambda secret: f"{secret!s}",
        lambda secret: "%s" % secret,  # noqa: UP031 - what people write
        lambda secret: "%(a)s" % {"a": secret},  # noqa: UP031
        lambda secret: "Bearer " + secret,
        lambda secret: secret + "!",
        print,
    ],
    ids=range(10),
)
def test_a_reference_never_passes_for_text(use: Callable[[Any], object]) -> None:
    """It would be its name, which the receiver would take for the value; what to do is said instead."""
    with pytest.raises(ConfigError, match=r"a Secret may stand in env=, in headers= .* Secret\('NAME'\) has no text"):
        use(Secret("NAME"))


@pytest.mark.parametrize("use", ["".join, len, list, bytes, os.fspath, open], ids=range(6))
def test_where_a_text_is_asked_for_there_is_none(use: Any) -> None:
    """Python says so itself; nothing takes the name for a text, a path or a list of letters."""
    with pytest.raises(TypeError):
        use([Secret("NAME")] if use == "".join else Secret("NAME"))


def test_a_reference_says_where_its_secret_is() -> None:
    """As a request carries it, to whoever debugs, and to code that compares."""
    secret = Secret("file:/run/secrets/token")
    assert secret.reference() == {"$secret": "file:/run/secrets/token"}
    assert secret.reference("Bearer ") == {"$secret": "file:/run/secrets/token", "prefix": "Bearer "}
    assert repr(secret) == "Secret('file:/run/secrets/token')"
    assert {secret, Secret("file:/run/secrets/token"), Secret("OTHER")} == {secret, Secret("OTHER")}
    assert secret != "file:/run/secrets/token"
    assert copy.deepcopy([secret]) == [secret]
    assert bool(secret)


@pytest.mark.parametrize("name", ["", None, 5, Secret("NAME"), b"NAME"])
def test_a_reference_is_made_of_a_name(name: Any) -> None:
    """An empty one, and anything that is no text, is refused where it is written."""
    with pytest.raises(ConfigError, match="is made of the name of an environment variable"):
        Secret(name)


def test_a_request_gets_the_reference_in_place_of_each_secret() -> None:
    """Wherever it stands; the step's own objects stay as they are, and what no JSON can hold is left to be refused."""
    request = {"a": Secret("A"), "b": [1, {"c": (Secret("B"), "x")}]}
    assert with_references(request) == {"a": {"$secret": "A"}, "b": [1, {"c": [{"$secret": "B"}, "x"]}]}
    assert request["a"] == Secret("A")
    doubled: Any = [Secret("A")]
    for _ in range(64):
        doubled = [doubled, doubled]
    left, right = with_references(doubled)
    assert left is right
    endless: list[Any] = []
    endless.append(endless)
    assert with_references(endless)[0] is endless
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert with_references(deep) is deep
