"""Crash tests of a workflow: it is killed with SIGKILL again and again and resumed, and nothing may be lost or done twice.

    report = crash_test("flow.py", kills=100)
    assert report.ok, report.faults

``durum crash-test`` is the same on the command line.
"""

from durum.testing.crash.campaign import crash_test
from durum.testing.crash.harness import Harness
from durum.testing.crash.report import CrashReport
from durum.testing.crash.serving import serve

__all__ = ["CrashReport", "Harness", "crash_test", "serve"]
