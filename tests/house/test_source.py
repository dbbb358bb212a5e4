"""The source keeps the house's promises: few public names, and tests where they are looked for."""

from __future__ import annotations

from pathlib import Path

import durum
from tools.project import ROOT

SOURCE = ROOT / "src" / "durum"
TESTS = ROOT / "tests"

# Test folders that mirror no room of the source, and why.
BY_SUBJECT = {
    "bench": "the measurements: whether they run, and measure what they say",
    "crash": "kill -9 at every point of a real run",
    "docs": "what the pages show, run",
    "examples": "the examples, run on real repositories",
    "faults": "every call of a port that fails, and machines that are full, shut or short of files",
    "golden": "logs of released versions",
    "house": "the project's own rules",
    "properties": "what holds for all inputs, across rooms",
    "simulation": "whole worlds from a seed: workers, a store, a clock and people in one thread",
    "typing": "only type-checked",
}
# Test files in a room's folder that mirror no module of it, and why.
BY_CONTRACT = {
    "engine/test_calls_side_by_side.py": "live_io and replay_io together: answers come in the order they came live",
    "engine/test_each.py": "attempts, recovery, fold and each together: items cut off, changed, and acting on the world",
    "engine/test_found_by_simulation.py": "what a simulated world found in engine and workers, each made to happen at once",
    "engine/test_fencing.py": "recorder, live_io and driver together: a worker that lost its run",
    "stores/test_conformance.py": "one suite over every store",
    "stores/test_machine.py": "random operations against a model, over every store",
}

MAX_PUBLIC_NAMES = 40


def test_the_front_page_stays_short() -> None:
    """`durum` offers at most 40 names."""
    assert len(getattr(durum, "__all__", ())) <= MAX_PUBLIC_NAMES


def test_every_test_file_mirrors_a_module() -> None:
    """Whoever looks for a module's tests finds them under the same name, or the reason why not above."""
    files = {file.relative_to(TESTS) for file in TESTS.rglob("test_*.py")}
    assert sorted(str(file) for file in files if not mirrored(file)) == []


def test_no_reason_is_kept_that_is_not_needed() -> None:
    """Where a module of that name has come, the file mirrors it and the list above can be shorter."""
    assert [name for name in BY_CONTRACT if mirrors_module(Path(name))] == []


def mirrored(file: Path) -> bool:
    """Tell whether tests/<file> is where it belongs."""
    return file.parts[0] in BY_SUBJECT or str(file) in BY_CONTRACT or mirrors_module(file)


def mirrors_module(file: Path) -> bool:
    """Tell whether `test_<module>.py` or, where a module has many tests, `test_<module>_<topic>.py` has its module."""
    words = file.stem.removeprefix("test_").split("_")
    names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
    folder = SOURCE / file.parent
    return any((folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file() for name in names)
