"""Where the project's files are."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = ("src", "tests", "tools", "scripts", "examples", "bench")  # the folders that hold Python


def python_files(root: Path, *folders: str) -> list[Path]:
    """Return every Python file under these folders of the project, sorted."""
    return sorted(file for folder in folders for file in (root / folder).rglob("*.py"))


def all_files(root: Path) -> list[Path]:
    """Return every file that is or could be committed: what git tracks or does not ignore; without git, what is not hidden."""
    command = ["git", "-c", f"safe.directory={root}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=root, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = [str(file.relative_to(root)) for file in root.rglob("*") if not hidden(file.relative_to(root))]
    return sorted(root / name for name in listed if name and (root / name).is_file())


def hidden(path: Path) -> bool:
    """Tell whether a path leads through a hidden or a generated folder (.ci is neither)."""
    return any(part == "__pycache__" or (part.startswith(".") and part != ".ci") for part in path.parts[:-1])
