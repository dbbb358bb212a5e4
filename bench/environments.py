"""The peers' virtual environments: one each, made once of exact versions, kept beside the project's own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from bench.figures import NotMeasuredError

FOLDER = Path(__file__).resolve().parent
KEPT = FOLDER.parent / ".venv-bench"
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")


def python_of(peer: str) -> Path:
    """Return the Python of a peer's environment, making it when there is none.

    Raises:
        NotMeasuredError: it cannot be made, for example without a network.
    """
    requirements = FOLDER / "peers" / f"{peer}.txt"
    identity = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:8]
    place = KEPT / f"{peer}-{identity}"
    python, stamp = place / "bin" / "python", place / "made"
    if stamp.exists():
        return python
    print(f"making the environment of {peer} in {place}", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    _run(peer, sys.executable, "-m", "venv", str(place))
    _run(peer, str(python), *PIP, "-r", str(requirements))
    stamp.touch()
    return python


def _run(peer: str, *command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NotMeasuredError(f"the environment of {peer} cannot be made: {error}") from error
    if done.returncode:
        said = (
            [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines() or ["no word"]
        )
        raise NotMeasuredError(f"the environment of {peer} cannot be made: {said[-1].strip()}")
