"""requirements.lock: exact versions and hashes of everything an environment needs; checked here and made here."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = "requirements.lock"
UV = "uv>=0.13"  # makes the lock, in an environment of its own; nothing else needs it
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = ("linux", "darwin")
PIN = re.compile(r"(?P<pin>[\w.-]+(\[[\w.,-]+\])?==[^\s;]+( ;.*?)?)(\s+--hash=sha256:[0-9a-f]{64})+\s*")


def wanted(root: Path) -> list[Requirement]:
    """Return what pyproject.toml asks for: to run, to develop and to build."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    lines = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"], *project["build-system"]["requires"]]
    return [Requirement(line) for line in lines]


def problems(root: Path) -> list[str]:
    """Find what of pyproject.toml the lock lacks, and what has no business in it."""
    text = (root / LOCK).read_text("utf-8")
    found = strangers(text)
    locked = [Requirement(match["pin"]) for line in entries(text) if (match := PIN.fullmatch(line))]
    for need in wanted(root):
        for python in PYTHONS:
            for platform in PLATFORMS:
                version = locked_version(locked, need, python, platform)
                if version is None:
                    found.append(f"{LOCK}:1: {need.name} is missing for Python {python} on {platform}")
                elif not need.specifier.contains(version, prereleases=True):
                    found.append(f"{LOCK}:1: {need.name} is {version}, pyproject.toml wants {need.specifier}")
    return list(dict.fromkeys(found))


def entries(text: str) -> list[str]:
    """Return the lock's entries, each with its hashes on one line."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def strangers(text: str) -> list[str]:
    """Find what is no pin with its hashes, and any address: the lock must not say where packages come from."""
    return [
        *(f"{LOCK}:1: not a pin with sha256 hashes: {line[:80]}" for line in entries(text) if not PIN.fullmatch(line)),
        *(f"{LOCK}:{number}: an address: {line}" for number, line in enumerate(text.splitlines(), start=1) if "://" in line),
    ]


def locked_version(locked: list[Requirement], need: Requirement, python: str, platform: str) -> str | None:
    """Return the version the lock holds for a requirement in one environment."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": platform,
        "platform_system": platform.capitalize(),
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    same = (pin for pin in locked if canonicalize_name(pin.name) == canonicalize_name(need.name))
    pin = next((pin for pin in same if pin.marker is None or pin.marker.evaluate(environment)), None)
    return next(iter(pin.specifier)).version if pin else None


def make(root: Path, *options: str) -> int:
    """Make the lock anew; pins that still fit stay as they are unless `--upgrade` is given."""
    # An environment made by scripts/setup.py has no pip: its interpreter outside has.
    outside = getattr(sys, "_base_executable", sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        needs = Path(folder, "requirements.in")
        needs.write_text("\n".join(map(str, wanted(root))), "utf-8")
        inside = Path(folder, "uv", "bin", "python")
        subprocess.run([outside, "-m", "venv", "--without-pip", str(inside.parent.parent)], check=True)
        subprocess.run([outside, "-m", "pip", "--python", str(inside), "install", "--quiet", UV], check=True)
        compiling = [str(inside.with_name("uv")), "pip", "compile", str(needs), "--output-file", LOCK, "--quiet", "--no-config"]
        compiling += ["--universal", "--python-version", PYTHONS[0], "--generate-hashes", "--no-annotate"]
        compiling += ["--custom-compile-command", "python3 tools/tasks.py lock", *options]
        return subprocess.run(compiling, cwd=root, check=False).returncode
