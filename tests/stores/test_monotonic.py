"""The clock every process of this machine counts by."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from durum.stores import monotonic

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ASK = "from durum.stores import monotonic; print(monotonic.now_ns(), monotonic.boot_id())"


def test_all_processes_of_a_boot_agree() -> None:
    """What another process reads in between lies in between."""
    before = monotonic.now_ns()
    said = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True).stdout.split()
    assert before < int(said[0]) < monotonic.now_ns()
    assert said[1:] == [monotonic.boot_id()]
    assert len(monotonic.boot_id()) > 30


def test_a_system_that_does_not_tell_its_boots_apart_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nobody is judged by a beat."""
    monkeypatch.setattr(monotonic, "_BOOT_ID", tmp_path / "nowhere")
    monkeypatch.setattr(sys, "platform", "linux")
    assert monotonic.boot_id.__wrapped__() == ""
