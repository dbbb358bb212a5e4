"""A run goes on with code a person named, and with no other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from durum import Workflow
from durum.errors import PlanChangedError, TargetError
from tests.app.flows import parked

if TYPE_CHECKING:
    from durum import Durum

FLOW = "from durum import Workflow\nflow = Workflow('flow', version={!r})\n@flow.step\ndef one() -> str:\n    return {!r}\n"


def test_code_is_found_among_what_was_named(service: Durum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the run's workflow, of its version if there is one; never through the store."""
    monkeypatch.chdir(tmp_path)
    run_id = parked(service, "2")
    with pytest.raises(TargetError, match=f"no code was named for this run; .*durum resume {run_id} --with FILE.py"):
        service.resume(run_id)
    for version in ("1", "2", "3"):
        Path(f"v{version}.py").write_text(FLOW.format(version, version), encoding="utf-8")
    Path("other.py").write_text(FLOW.replace("Workflow('flow'", "Workflow('other'").format("1", "x"), encoding="utf-8")
    Path("pyproject.toml").write_text("[tool.durum]\nworkflows = ['other.py']\n", encoding="utf-8")
    with pytest.raises(TargetError, match=r"other\.py: it holds no workflow flow; name its file: durum resume"):
        service.resume(run_id)
    with pytest.raises(TargetError, match=r"other\.py: it holds no workflow flow"):
        service.resume(run_id, "other.py")
    Path("pyproject.toml").write_text("[tool.durum]\nworkflows = ['v1.py', 'v2.py', 'v3.py', 'other.py']\n", encoding="utf-8")
    assert service.resume(run_id)["status"] == "completed"
    assert service.context(run_id, "one") == "2"
    assert service.resume(run_id)["status"] == "completed"


def test_code_of_another_workflow_is_refused(service: Durum) -> None:
    """A workflow handed over as an object is held against the run's plan as well."""
    run_id = parked(service)
    other = Workflow("other")
    other.step(name="one")(lambda: "x")
    with pytest.raises(PlanChangedError):
        service.resume(run_id, other)
    assert service.show(run_id)["status"] not in {"completed", "failed"}
