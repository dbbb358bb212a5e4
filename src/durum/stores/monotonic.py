"""This machine's monotonic time, the same for all of its processes, and which boot it counts in.

A clock that stands still while the machine sleeps: then nobody can take a run over either, and whoever wakes first must not
take the others for hung.
"""

from __future__ import annotations

import subprocess
import sys
import time
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CLOCK = getattr(time, "CLOCK_UPTIME_RAW", time.CLOCK_MONOTONIC)  # macOS counts sleep in the other one


def now_ns() -> int:
    """Return nanoseconds since some moment of this boot."""
    return time.clock_gettime_ns(_CLOCK)


@cache
def boot_id() -> str:
    """Return what tells this boot from every other, of any machine; empty if the system does not say."""
    try:
        if sys.platform == "darwin":
            command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
