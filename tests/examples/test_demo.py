"""The demo shows what it says it shows, and fails where it cannot."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import durum
from tests.examples.repositories import known_history

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


def demo(*words: str, cwd: Path, script: Path = EXAMPLES / "demo.py") -> subprocess.CompletedProcess[str]:
    """Run the demo as ./scripts/demo does."""
    command = [sys.executable, str(script), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def test_the_demo_kills_resumes_replays_and_verifies_twice_in_a_row(tmp_path: Path) -> None:
    """Each time a run under way is killed, and the log it leaves confirms every stage; the store is used again."""
    repo, out, url = known_history(tmp_path / "thing").path, tmp_path / "notes.md", f"sqlite:///{tmp_path}/demo.db"
    seen = set()
    for words in (["--repo", str(repo), "--out", str(out)], ["--input", f"repo={repo}", "--input", "out=notes.md"]):
        out.unlink(missing_ok=True)
        ended = demo(*words, "--store", url, cwd=tmp_path)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        found = re.search(r"^Killed with SIGKILL\. What the log of run (\S+) holds:$", ended.stdout, re.MULTILINE)
        assert found is not None
        assert "0 live calls" in ended.stdout
        assert "intact: " in ended.stdout
        assert f"== The notes: {out}\n  # Release notes: thing v0.2\n" in ended.stdout
        assert out.read_text(encoding="utf-8").startswith("# Release notes: thing v0.2\n")
        assert "\x1b" not in ended.stdout
        seen.add(found[1])
        with durum.open(url) as store:
            assert store.show(found[1])["status"] == "completed"
            assert {event["epoch"] for event in store.events(found[1])} == {1, 2}  # two processes drove it
    assert len(seen) == 2


def test_the_demo_fails_with_one_line_where_there_is_no_repository(tmp_path: Path) -> None:
    """A stage that does not show what it is there to show ends the demo with exit code 1."""
    ended = demo("--repo", str(tmp_path), "--store", f"{tmp_path}/demo.db", "--out", "notes.md", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.strip().startswith("demo failed: the run could not be killed half-way, it ended with exit code 1")
    assert f"git cannot read {tmp_path}: not a git repository" in ended.stdout


def test_the_demo_of_a_checkout_without_history_makes_a_repository(tmp_path: Path) -> None:
    """An unpacked archive has no .git: the demo says so, and keeps all it makes in that checkout's .durum."""
    checkout = tmp_path / "checkout"
    shutil.copytree(EXAMPLES, checkout / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ended = demo(cwd=elsewhere, script=checkout / "examples" / "demo.py")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{checkout} has no git history" in ended.stdout
    assert "Commits: 60, authors: 1, files: 6." in (checkout / ".durum" / "release-notes.md").read_text(encoding="utf-8")
    assert (checkout / ".durum" / "demo.db").exists()
    assert list(elsewhere.iterdir()) == []
