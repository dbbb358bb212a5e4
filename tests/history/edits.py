"""Named changes of ``tests/workflows/edited.py``: those that alter something, where and how it shows, and those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parent.parent / "workflows" / "edited.py"


class Edit(NamedTuple):
    """What is replaced by what; for a change that alters something, the state and the kind of divergence it is to show as."""

    name: str
    old: str
    new: str
    state: str = ""
    what: str = ""
    also: tuple[str, str] | None = None

    def apply(self, text: str) -> str:
        """Return the changed text; the change must be one."""
        for old, new in [(self.old, self.new), *([self.also] if self.also else [])]:
            assert text.count(old) == 1, f"{self.name}: {old!r} stands {text.count(old)} times"
            assert old != new
            text = text.replace(old, new)
        return text


UNIQUE = '''@flow.step
def unique(names: list[str]) -> list[str]:
    """Sort them."""
    return sorted(set(names))


'''
SUMMARY = "@flow.step\ndef summary("
SEND = '@flow.step(effects="apply_side_effect", idempotency="{run_id}/send")\n'
SECOND = '    second: Any = await io.call("echo", {"say": "two"})\n'
GREET = '\n\ndef greet(name: str) -> str:\n    return GREETING + " " + name\n\n\n@flow.step\nasync def names('
IMPORTS = ("from typing import", "from datetime import timedelta\nfrom durum import Retry\nfrom typing import")
RETRY = "Retry(attempts=7, delay=timedelta(seconds=9))"
FAILURE = "StepError(message, retryable=True)"
GREETINGS = "def greetings(names: list[str]) -> list[str]:"
LOOP = """    result = []
    for name in names:
        result.append(GREETING + " " + name)
    return result
"""
OTHER_LOOP = """    found = []
    for who in names:
        found.append(GREETING + " " + who)
    return found
"""
DRAWS = "    moment = await io.now()\n    dice = await io.random_bytes(4)\n"
OTHER_DRAWS = "    dice = await io.random_bytes(4)\n    moment = await io.now()\n"

ALTERING = [
    Edit("changed constant", 'GREETING = "hello"', 'GREETING = "good day"', "greetings", "writes"),
    Edit("changed helper", 'return text.upper() + "!"', 'return text.upper() + "?"', "loud", "writes"),
    Edit("changed argument", '"hal"]', '"ian"]', "names", "call"),
    Edit("removed call", SECOND, "    second = first\n", "ordered", "call"),
    Edit("added call", SECOND, SECOND + '    await io.call("echo", {"say": "three"})\n', "ordered", "call"),
    Edit("call made twice", SECOND, SECOND + SECOND, "ordered", "call"),
    Edit("answers in another order", '[first["say"], second["say"]]', '[second["say"], first["say"]]', "ordered", "writes"),
    Edit("removed step", UNIQUE, "", "unique", "plan"),
    Edit("added step", UNIQUE, UNIQUE + UNIQUE.replace("def unique", "def uniques"), "uniques", "plan"),
    Edit("another dependency", "def unique(names: list[str])", "def unique(names: list[str], fallback: str)", "unique", "plan"),
    Edit("another result type", '{"loud": len(loud), ', '{"loud": str(len(loud)), ', "summary", "outcome"),
    Edit("another field of the result", '"rest": len', '"others": len', "summary", "writes"),
    Edit("another key", "@flow.step\ndef unique(", '@flow.step(writes="sorted")\ndef unique(', "unique", "writes"),
    Edit("clock used directly", "await io.now()", "__import__('datetime').datetime.now()", "stamped", "call"),
    Edit("random used directly", "await io.random_bytes(4)", "__import__('random').randbytes(4)", "stamped", "call"),
    Edit("more random bytes", "io.random_bytes(4)", "io.random_bytes(5)", "stamped", "call"),
    Edit("unordered set", "sorted(set(names))", "list(set(names))", "unique", "writes"),
    Edit("changed fallback", '"fell back on "', '"gave up on "', "fallback", "writes"),
    Edit("fallback no longer taken", "except TransportError as error:", "except StepError as error:", "fallback", "outcome"),
    Edit("another event", 'io.emit("asked"', 'io.emit("heard"', "names", "events"),
    Edit("another payload", '{"count": len(words)}', '{"count": 0}', "names", "events"),
    Edit("one event more", "    return list(words)", '    io.emit("again")\n    return list(words)', "names", "events"),
    Edit("one event less", '    io.emit("asked", {"count": len(words)})\n', "", "names", "events"),
    Edit("another exception message", '"not yet"', '"later"', "shaky", "outcome"),
    Edit("another exception", f"raise {FAILURE}", "raise ValueError(message)", "shaky", "outcome"),
    Edit("no longer worth a retry", FAILURE, "StepError(message)", "shaky", "outcome"),
    Edit("fails no longer", f"        raise {FAILURE}\n", "", "shaky", "outcome"),
    Edit("another value recorded", 'tried["try"])', '"x")', "shaky", "call"),
    Edit("one more key read", GREETINGS, GREETINGS.replace(")", ", tone: str)", 1), "greetings", "writes"),
    Edit(
        "one key less read",
        "greetings: list[str], tone: str)",
        "greetings: list[str])",
        "loud",
        "writes",
        ("[tone]", '["calm"]'),
    ),
    Edit("another effect", '{"send": summary["loud"]}', '{"send": summary["rest"]}', "send", "call"),
]

KEEPING = [
    Edit("renamed local", LOOP, OTHER_LOOP),
    Edit("docstring", '"""Greet everyone."""', '"""Greet everyone, one by one."""'),
    Edit("no docstring", '    """Count."""\n', ""),
    Edit("comment", '    """Count."""\n', '    """Count."""\n    # all of it\n'),
    Edit(
        "reformatted", 'return {"loud": len(loud), ', 'return {\n        "loud": len(\n            loud\n        ),\n        '
    ),
    Edit("steps in another order", UNIQUE, "", also=(SUMMARY, UNIQUE + SUMMARY)),
    Edit("a step moved to the end", UNIQUE, "", also=(SEND, UNIQUE + SEND)),
    Edit(
        "extracted helper",
        'result.append(GREETING + " " + name)',
        "result.append(greet(name))",
        also=("\n\n@flow.step\nasync def names(", GREET),
    ),
    Edit("f-string", 'GREETING + " " + name', 'f"{GREETING} {name}"'),
    Edit("comprehension", LOOP, '    return [GREETING + " " + name for name in names]\n'),
    Edit("another retry", "@flow.step\nasync def shaky", f"@flow.step(retry={RETRY})\nasync def shaky", also=IMPORTS),
    Edit("a read made of an effect's call", ", read=False)", ")"),
    Edit(
        "a timeout",
        "@flow.step\nasync def fallback",
        "@flow.step(timeout=timedelta(seconds=30))\nasync def fallback",
        also=IMPORTS,
    ),
    Edit("tags", "@flow.step\nasync def ordered", '@flow.step(tags=["fetch_data"])\nasync def ordered'),
    Edit("a version", "@flow.step\nasync def ordered", '@flow.step(version="2")\nasync def ordered'),
    Edit("annotation left out", "def unique(names: list[str]) -> list[str]:", "def unique(names: Any) -> Any:"),
    Edit("annotation spelled differently", GREETINGS, "def greetings(names: list[Any]) -> tuple[str, ...]:"),
    Edit("unused import", "from typing import", "import json\nfrom typing import"),
    Edit("unused constant", 'GREETING = "hello"\n', 'GREETING = "hello"\nFAREWELL = "bye"\n'),
    Edit("a print", '    """Count."""\n', '    """Count."""\n    print("counting")\n'),
    Edit("progress", '    """Ask twice."""\n', '    """Ask twice."""\n    io.progress("asking")\n'),
    Edit("independent draws in another order", DRAWS, OTHER_DRAWS),
    Edit("a plain step made async", "def unique(", "async def unique("),
    Edit("a plain step in a thread", "@flow.step\ndef unique(", "@flow.step(blocking=True)\ndef unique("),
    Edit(
        "parameters in another order", "def loud(greetings: list[str], tone: str)", "def loud(tone: str, greetings: list[str])"
    ),
]
