"""The project's own tools find what they are for, and only that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import house, lock, suite
from tools.project import ROOT

PLAIN = "def small() -> None:\n    return None\n"


def lay(root: Path, name: str, text: str) -> None:
    """Write a file of a project that is being checked."""
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("folder", ["src/durum/core", "tests/core", "tools", "scripts", "examples"])
def test_a_file_of_401_lines_is_named_and_one_of_400_is_not(tmp_path: Path, folder: str) -> None:
    """The limit holds wherever Python lies, and is exact."""
    lay(tmp_path, f"{folder}/full.py", "x = 1\n" * 400)
    assert house.problems(tmp_path) == []
    lay(tmp_path, f"{folder}/over.py", "x = 1\n" * 401)
    assert house.problems(tmp_path) == [f"{folder}/over.py:401: 401 lines, at most 400: split it by noun"]


def test_a_function_of_41_lines_in_src_is_named(tmp_path: Path) -> None:
    """Methods, nested and async functions count too; tests may be longer."""
    body = "        pass\n"
    lay(tmp_path, "src/durum/full.py", "class A:\n    async def fits(self):\n" + body * 39)
    assert house.problems(tmp_path) == []
    long = "class A:\n    async def long(self):\n" + body * 40
    lay(tmp_path, "src/durum/over.py", long)
    lay(tmp_path, "tests/test_over.py", long)
    assert house.problems(tmp_path) == ["src/durum/over.py:2: long() has 41 lines, at most 40"]


def test_names_that_say_nothing_are_refused_for_files_and_folders(tmp_path: Path) -> None:
    """Every part of the path counts, a leading underscore or `test_` hides nothing, other words are free."""
    for name in ("src/durum/_utils.py", "src/durum/common/fold.py", "tests/test_helpers.py", "src/durum/base_snapshot.py"):
        lay(tmp_path, name, PLAIN)
    assert [line.partition(":")[0] for line in house.banned_names(tmp_path)] == [
        "src/durum/_utils.py",
        "src/durum/common/fold.py",
        "tests/test_helpers.py",
    ]


def test_paths_of_one_machine_are_found_in_any_file(tmp_path: Path) -> None:
    """All of them are listed, with the line, in text of any kind."""
    place = "/" + "work/main"
    lay(tmp_path, "docs/guide.md", f"fine\ncd {place}\n")
    lay(tmp_path, ".ci/run", f"{place}\n")
    lay(tmp_path, "src/durum/fold.py", PLAIN)
    assert [line.split(" ")[0] for line in house.machine_paths(tmp_path)] == [".ci/run:1:", "docs/guide.md:2:"]


def test_the_lock_holds_what_the_project_asks_for() -> None:
    """Every Python and platform we support finds each direct requirement, within its bounds, hashed."""
    assert lock.problems(ROOT) == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (("rfc8785==", "rfc8786=="), "rfc8785 is missing for Python 3.11 on linux"),
        (("msgspec==", "msgspec==9"), "msgspec is 9"),
        (("typer==", "--index-url https://example.org\ntyper=="), "an address: --index-url https://example.org"),
        (("typer==", "typer>="), "typer is missing"),
        (("typer==", "-e typer=="), "not a pin with sha256 hashes: -e typer=="),
    ],
)
def test_a_lock_that_does_not_fit_is_told(tmp_path: Path, change: tuple[str, str], finding: str) -> None:
    """A missing name, a version out of bounds, an address and a loose pin are each found."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    text = (ROOT / lock.LOCK).read_text("utf-8")
    assert change[0] in text
    lay(tmp_path, lock.LOCK, text.replace(*change))
    assert any(finding in line for line in lock.problems(tmp_path)), lock.problems(tmp_path)


def test_a_python_that_is_named_but_does_not_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pyenv's shims do for versions that are not switched on."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shim, real = tmp_path / "shims" / f"python{version}", tmp_path / "real" / f"python{version}"
    lay(tmp_path, f"shims/python{version}", "#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    real.parent.mkdir()
    real.symlink_to(Path(sys.executable).resolve())
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{real.parent}")
    assert suite.find(version) == str(real)
    assert suite.find("3.99") is None


def test_without_a_fit_python_setup_says_so_in_one_line(tmp_path: Path) -> None:
    """The person learns what is missing and what to set, and nothing is printed that could be taken for a path."""
    for name in ("python3", "python3.13", "python3.12", "python3.11"):
        lay(tmp_path, name, "#!/bin/sh\nexit 127\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "dirname").symlink_to(shutil.which("dirname") or "")
    settings = {"PATH": str(tmp_path)}
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "scripts" / "setup.sh")], env=settings, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "Python 3.11 or newer" in done.stderr
    assert "DURUM_PYTHON" in done.stderr
