"""docs/errors.md has a section for every error code there is, and for no other."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from durum import errors
from durum.core.failure import describe
from durum.engine.live_io import NOT_BEGUN
from durum.errors import DurumError, StepError, TransportError
from tools.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = ROOT / "src" / "durum"
PAGE = ROOT / "docs" / "errors.md"
CODE = re.compile(r"[a-z][a-z0-9_]*")
# Functions that take a code as an argument: its position there.
TAKE_CODES = {"failure": 0, "_failure": 1, "fail": 0, "_refuse": 1}


def test_every_code_has_a_section_and_every_section_a_code() -> None:
    """Whoever meets a code finds it in the page, and the page holds none that nobody can meet."""
    assert sorted(set(sections())) == sorted({*codes_of_classes(), *codes_in_source()})


def test_no_code_has_two_sections() -> None:
    """One code, one meaning."""
    assert len(sections()) == len(set(sections()))


def test_every_section_says_something() -> None:
    """A heading alone helps nobody."""
    assert [code for code, text in sections().items() if len(text.split()) < 5] == []


def test_codes_that_come_before_anything_is_done_are_known() -> None:
    """What lets an effect be tried again is a list of codes that exist."""
    assert sorted(NOT_BEGUN - codes_in_source()) == []


@pytest.mark.parametrize("kind", ["retryable", "not retryable"])
def test_the_page_tells_which_errors_are_retried(kind: str) -> None:
    """`Retryable.` stands in the sections of the classes that are retried by themselves, and in no other of a class."""
    said = {code for code, text in sections().items() if "Retryable" in text.split("\n")[-1]}
    known = {error.code for error in classes() if error.retryable}
    mine = codes_of_classes()
    if kind == "retryable":
        assert sorted(known - said) == []
    else:
        assert sorted((said & mine) - known - {"rate_limited"}) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("raise TransportError('x', code='first_code')", "first_code"),
        ("code = 'second_code'", "second_code"),
        ("reason, code = 'x', 'third_code'", "third_code"),
        ("GONE = 'fourth_code'\nfailure(GONE, 'x')", "fourth_code"),
        ("raise self._failure('x', 'fifth_code')", "fifth_code"),
        ("_REASONS = {1: ('sixth_code', 'x')}", "sixth_code"),
        ("code, reason = _REASONS.get(n, ('seventh_code', 'x'))", "seventh_code"),
    ],
)
def test_the_search_finds(text: str, code: str) -> None:
    """Each way the source gives a failure its code is seen."""
    module = ast.parse(text)
    assert set(codes_in(module, constants(module))) == {code}


def test_a_step_s_own_code_reaches_the_record() -> None:
    """The page says that steps and transports choose codes of their own: those of the exceptions, not of the classes."""
    assert describe(StepError("no", code="too_few")).code == "too_few"
    assert describe(TransportError("no", code="weather_down")).code == "weather_down"


def sections() -> dict[str, str]:
    """Return code -> text of its section."""
    parts = re.split(r"^### `([a-z0-9_]+)`$", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return {code: re.split(r"^## ", text, flags=re.MULTILINE)[0].strip() for code, text in zip(*[iter(parts)] * 2, strict=True)}


def classes() -> list[type[DurumError]]:
    """Return every error class."""
    found = (getattr(errors, name) for name in errors.__all__)
    return [error for error in found if isinstance(error, type) and issubclass(error, DurumError)]


def codes_of_classes() -> set[str]:
    """Return the code of every error class."""
    return {error.code for error in classes()}


def codes_in_source() -> set[str]:
    """Return every code the source gives a failure."""
    modules = [ast.parse(file.read_text("utf-8")) for file in SOURCE.rglob("*.py")]
    named = {name: value for module in modules for name, value in constants(module).items()}
    return {code for module in modules for code in codes_in(module, named)}


def constants(module: ast.Module) -> dict[str, str]:
    """Return the module's constants that are text: name -> value."""
    return {
        target.id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def codes_in(module: ast.Module, named: dict[str, str]) -> Iterator[str]:
    """Yield the codes one module gives failures; ``named`` are the constants it may mean."""
    for node in ast.walk(module):
        for value in code_values(node):
            text = named.get(value.id) if isinstance(value, ast.Name) else getattr(value, "value", None)
            if isinstance(text, str) and CODE.fullmatch(text):
                yield text


def code_values(node: ast.AST) -> Iterator[ast.expr | None]:
    """Yield what a node uses as a code."""
    match node:
        case ast.Call():
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "code")
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            place = TAKE_CODES.get(name)
            if place is not None and len(node.args) > place:
                yield node.args[place]
        case ast.Assign(targets=[ast.Name(id="code")], value=value):
            yield value
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
            yield from (value for name, value in zip(names, values, strict=False) if getattr(name, "id", "") == "code")
        case ast.Assign(
            targets=[ast.Tuple(elts=[ast.Name(id="code"), _])], value=ast.Call(args=[_, ast.Tuple(elts=[value, _])])
        ):
            yield value
        case ast.Assign(targets=[ast.Name(id="_REASONS")], value=ast.Dict(values=rows)):
            yield from (row.elts[0] for row in rows if isinstance(row, ast.Tuple))
