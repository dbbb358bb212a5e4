"""Real ``kill -9`` at random moments: whatever the moment, a resumed run ends as one that was never killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WORKFLOW = Path(__file__).parent.parent / "workflows" / "synthetic.py"
KILLS = 20
DRIVE = """
import sys, durum
with durum.open(sys.argv[1]) as store:
    if sys.argv[2] == "start":
        store.start(sys.argv[3], {"folder": sys.argv[4]}, run_id=sys.argv[5])
    else:
        store.resume(sys.argv[5], sys.argv[3])
"""


def drive(verb: str, url: str, folder: Path, run_id: str) -> subprocess.Popen[bytes]:
    """Start a process that drives the run."""
    arguments = [sys.executable, "-c", DRIVE, url, verb, str(WORKFLOW), str(folder), run_id]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
