"""The text of a piece of code changes with its meaning and with nothing else."""

from __future__ import annotations

import textwrap

import pytest

from durum.core.canonical import digest_bytes
from durum.workflow.syntax import Code, Source, parse

# Every construct whose tree has changed between Python versions, or could.
SAMPLE = '''
@decorated(1)
async def sample(first: int, /, second: "str" = "x", *rest: int, key: list[int] | None = None, **more: object) -> dict:
    """Say something."""
    total: int = 0
    for number in rest:
        total += number
    else:
        total -= 1
    async with first as opened, second as (left, *others):
        pass
    while (chunk := opened.read(10)) and not left:
        yield chunk
    try:
        raise ValueError(f"{first!r:>{total}} {second=} {{x}}" "tail")
    except* (ValueError, OSError) as group:
        print(group)
    finally:
        del left
    match more:
        case {"a": 1, **others} if others:
            return {}
        case [1, *tail] | (2 as tail) | Point(x=0, y=tail):
            return {"tail": tail}
        case "a" | None | -1.5:
            pass
    table = {**more, "k": [item for item in rest if item async for _ in aiter(item)], 1: lambda q, *, w=1: q + w}
    global shared
    shared = {x: y for x, y in table.items()} | {1j: ..., True: 0x10, "é": 1_000}
    return await other(*rest, **more)[1:2, ::3] if total < first <= 3 else None


class Thing(Base, metaclass=Meta):
    """A class."""

    limit = 3
    """What it is for."""

    def method(self):
        return self.limit
'''
SAMPLE_DIGEST = "943e1736d625800525281ad384806925c21661e9378f91932171e7a437345b81"


def code(source: str) -> tuple[Source, Code]:
    """Return the first function or class of a text."""
    parsed = parse(textwrap.dedent(source))
    assert parsed is not None
    found = [node for nodes in parsed._functions.values() for node in nodes]
    return parsed, min([*found, *parsed._classes.values()], key=lambda node: node.lineno)


def text(source: str) -> str:
    """Return what a function or class is compared by."""
    parsed, node = code(source)
    return parsed.text(node)


def free(source: str) -> set[str]:
    """Return the names a function or class takes from outside."""
    parsed, node = code(source)
    return set(parsed.free_names(node))


def test_the_text_is_the_same_under_every_python() -> None:
    """The suite runs under each version we support, and all must find this very digest."""
    parsed = parse(SAMPLE)
    assert parsed is not None
    (function,), (thing,) = parsed.functions(2, "sample"), parsed.classes("Thing")
    names = " ".join(sorted(parsed.free_names(function) | parsed.free_names(thing)))
    assert names == "Base Meta OSError Point ValueError aiter dict int list object other print shared"
    found = digest_bytes("\n".join([parsed.text(function), parsed.text(thing)]).encode())
    assert found == SAMPLE_DIGEST


SAME = [
    ("def f(x):\n    return x+1", "def f( x ) :\n\n    # why\n    return (x\n        + 1)"),
    ("def f(x):\n    return x", 'def f(x):\n    """Say."""\n    return x'),
    ("def f(x):\n    return x", "@step(retry=3)\n@other\ndef f(x):\n    return x"),
    ("def f(x):\n    y = 1\n    return x + y", 'def f(x):\n    y = 1\n    "a remark"\n    return x + y'),
    ("def f(x):\n    return 'a'", 'def f(x):\n    return "a"'),
    ("def f(x):\n    return 'ab'", 'def f(x):\n    return ("a"\n        "b")'),
    ("def f(x):\n    return 16", "def f(x):\n    return 0x10"),
    ("def f(x):\n    a = x\n    return a", "def f(x):\n    b = x\n    return b"),
    ("def f(x):\n    a, *b = x\n    return a, b", "def f(x):\n    c, *d = x\n    return c, d"),
    ("def f(x):\n    return [a for a in x]", "def f(x):\n    return [b for b in x]"),
    ("def f(x):\n    return (a := x) + a", "def f(x):\n    return (b := x) + b"),
    ("def f(x):\n    return map(lambda a: a + 1, x)", "def f(x):\n    return map(lambda b: b + 1, x)"),
    ("def f(x):\n    with x as a:\n        a()", "def f(x):\n    with x as b:\n        b()"),
    ("def f(x):\n    try: x()\n    except E as a: print(a)", "def f(x):\n    try: x()\n    except E as b: print(b)"),
    ("def f(x):\n    match x:\n        case [a, *b]: g(a, b)", "def f(x):\n    match x:\n        case [c, *d]: g(c, d)"),
    (
        "def f(x):\n    match x:\n        case {1: a, **b}: g(a, b)",
        "def f(x):\n    match x:\n        case {1: c, **d}: g(c, d)",
    ),
    ("def f(x):\n    def a(): return x\n    return a()", "def f(x):\n    def b(): return x\n    return b()"),
    (
        "def f(x):\n    n = 0\n    def g():\n        nonlocal n\n        n += 1",
        "def f(x):\n    m = 0\n    def g():\n        nonlocal m\n        m += 1",
    ),
    (
        "def f(x):\n    x['a'] = a = 1\n    return {'a': a}, x.a, g(a=a)",
        "def f(x):\n    x['a'] = b = 1\n    return {'a': b}, x.a, g(a=b)",
    ),
    (
        "class A:\n    n = 1\n    def f(self):\n        a = 1\n        return a",
        'class A:\n    """Doc."""\n    n = 1\n    """Doc."""\n    def f(self):\n        b = 1\n        return b',
    ),
]

OTHER = [
    ("def f(x):\n    return x + 1", "def f(x):\n    return x + 2"),
    ("def f(x):\n    return 1", "def f(x):\n    return 1.0"),
    ("def f(x):\n    return 1", "def f(x):\n    return True"),
    ("def f(x):\n    return 'a'", "def f(x):\n    return b'a'"),
    ("def f(x):\n    return 'b\\'a\\''", "def f(x):\n    return b'a'"),
    ("def f(x):\n    return ...", "def f(x):\n    return 'Ellipsis'"),
    ("def f(x):\n    return None", "def f(x):\n    return"),
    ("def f(x):\n    return x", "def f(y):\n    return y"),
    ("def f(x):\n    return x", "def f(x=1):\n    return x"),
    ("def f(x):\n    return x", "def f(*, x):\n    return x"),
    ("def f(x: int):\n    return x", "def f(x: str):\n    return x"),
    ("def f(x) -> int:\n    return x", "def f(x) -> str:\n    return x"),
    ("def f(x):\n    return x", "def g(x):\n    return x"),
    ("def f(x):\n    return x", "async def f(x):\n    return x"),
    ("def f(x):\n    a = 1\n    b = 2\n    return a", "def f(x):\n    a = 1\n    b = 2\n    return b"),
    ("def f(x):\n    return x.a", "def f(x):\n    return x.b"),
    ("def f(x):\n    return g(a=x)", "def f(x):\n    return g(b=x)"),
    ("def f(x):\n    return {**x, 'a': 1}", "def f(x):\n    return {None: x, 'a': 1}"),
    ("def f(x):\n    return f'{x}'", "def f(x):\n    return f'{x!r}'"),
    ("def f(x):\n    global a\n    a = x", "def f(x):\n    global b\n    b = x"),
    ("def f(x):\n    return [[], [1]]", "def f(x):\n    return [[[]], 1]"),
    ("def f(x):\n    match x:\n        case P(a=1): g()", "def f(x):\n    match x:\n        case P(b=1): g()"),
    ("def f(*, a, b=None): pass", "def f(*, a=None, b): pass"),
    ("class A:\n    n = 1", "class A:\n    m = 1"),
    ("class A:\n    n = 1", "class A:\n    n = 2"),
    ("class A(B):\n    n = 1", "class A(C):\n    n = 1"),
]


@pytest.mark.parametrize(("before", "after"), SAME)
def test_what_changes_nothing_leaves_the_text(before: str, after: str) -> None:
    """Formatting, comments, docstrings, decorators, the spelling of constants and the names of locals of every kind."""
    assert text(before) == text(after)


@pytest.mark.parametrize(("before", "after"), OTHER)
def test_what_changes_something_changes_the_text(before: str, after: str) -> None:
    """Values, their types, parameters, annotations, attributes, keywords, globals, and which of two locals is meant."""
    assert text(before) != text(after)


def test_position_and_indentation_do_not_count() -> None:
    """Moved down, or into another function, with a text over several lines inside."""
    body = 'def f(x):\n    return """one\n  two\n"""'
    nested = 'def outer():\n    def f(x):\n        return """one\n  two\n"""\n    return f'
    parsed, inside = parse("a = 1\n\n\n" + body), parse(nested)
    assert parsed is not None
    assert inside is not None
    assert parsed.text(parsed.functions(4, "f")[0]) == inside.text(inside.functions(2, "f")[0]) == text(body)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(x): return x + y", {"y"}),
        ("def f(x=y): return x", {"y"}),
        ("def f(x: T) -> U: return x", {"T", "U"}),
        ("def f(x):\n    y = 1\n    return y", set()),
        ("def f(x):\n    global y\n    y = 1", {"y"}),
        ("def f(x):\n    import y.z\n    from a import b as c\n    return y, c, b", {"b"}),
        ("def f(x):\n    return [y for y in x if z]", {"z"}),
        ("def f(x):\n    return lambda y: y + z", {"z"}),
        ("def f(x):\n    def y(z): return z + w\n    return y", {"w"}),
        ("def f(x):\n    class Y(B):\n        a = C\n    return Y", {"B", "C"}),
        ("def f(x):\n    try: g()\n    except E as y: h(y)", {"g", "E", "h"}),
        ("def f(x):\n    match x:\n        case P(y) | {**y}: return y", {"P"}),
        ("def f(x): return f'{y:{z}}'", {"y", "z"}),
        ("@decorated(w)\ndef f(x): return y", {"y"}),
        ("def f(commits): return commits.areas", set()),
        ("class A(B):\n    n = C\n    def f(self): return D, n", {"B", "C", "D", "n"}),
        ("class A:\n    n = 1\n    m = n", set()),
    ],
)
def test_free_names_are_what_code_takes_from_outside(source: str, names: set[str]) -> None:
    """A parameter called like another function of the module is not that function."""
    assert free(source) == names


def test_deep_and_long_code_has_a_text() -> None:
    """Chains of hundreds of operators nest as deep as Python parses them."""
    chain = "def f(x):\n    return " + " + ".join(["x"] * 900)
    calls = "def f(x):\n    return x" + ".a()" * 90
    assert text(chain) != text(chain + " + x")
    assert text(calls) != text(calls + ".a()")


def test_what_is_no_python_has_no_text() -> None:
    """Nor do null bytes."""
    assert parse("def f(:") is None
    assert parse("x = '\0'") is None
    parsed = parse("x = 1")
    assert parsed is not None
    assert parsed.functions(1, "f") == []
    assert parsed.classes("A") == []
