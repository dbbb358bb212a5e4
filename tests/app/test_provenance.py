"""What a manifest says of the code comes from the repository and lock file around it, and from no setting of either."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import durum
from durum import ExecutionPlan, StateNode, Workflow
from durum.app.provenance import ENV_ALLOWLIST, code_folder, durum_version, provenance
from durum.app.targets import load_target

if TYPE_CHECKING:
    from durum.core.manifest import BuildProvenance
    from durum.core.plan import PlanShape

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

FLOW = "from durum import Workflow\nflow = Workflow('flow')\n@flow.step\ndef one() -> int:\n    return 1\n"


def shape() -> PlanShape:
    """Return a plan of one step."""
    flow = Workflow("flow")
    flow.step(name="one")(lambda: 1)
    return flow.plan().shape


def known(folder: Path) -> BuildProvenance:
    """Return what is known of the code in a folder."""
    return provenance(shape(), folder)


def git(folder: Path, *words: str) -> str:
    """Run git as somebody else's settings would not change it."""
    settings = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, env=settings, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "flow.py").write_text(FLOW, encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


# --- git ------------------------------------------------------------------------------------------------------------------


@needs_git
def test_the_commit_is_known_and_whether_tracked_files_differ(repository: Path) -> None:
    """New files do not count, changed, staged and removed ones do."""
    commit = git(repository, "rev-parse", "HEAD")
    found = known(repository)
    assert (found.git_commit, found.git_dirty) == (commit, False)
    (repository / "new.txt").write_text("new", encoding="utf-8")
    assert known(repository).git_dirty is False
    (repository / "flow.py").write_text("changed", encoding="utf-8")
    assert (known(repository).git_commit, known(repository).git_dirty) == (commit, True)
    git(repository, "add", ".")
    assert known(repository).git_dirty is True
    git(repository, "commit", "-qm", "two")
    assert known(repository).git_dirty is False
    assert known(repository).git_commit != commit
    (repository / "flow.py").unlink()
    assert known(repository).git_dirty is True


@needs_git
def test_a_folder_inside_a_repository_is_of_its_commit(repository: Path) -> None:
    """A worktree too, where .git is a file."""
    inside = repository / "a" / "b"
    inside.mkdir(parents=True)
    assert known(inside).git_commit == git(repository, "rev-parse", "HEAD")
    tree = repository.parent / "tree"
    git(repository, "worktree", "add", "-q", str(tree))
    assert known(tree).git_commit == git(repository, "rev-parse", "HEAD")


@needs_git
def test_where_there_is_no_commit_nothing_is_claimed(tmp_path: Path) -> None:
    """No repository, one without commits, and something that only looks like one."""
    for folder in ("plain", "empty", "fake"):
        (tmp_path / folder).mkdir()
    git(tmp_path / "empty", "init", "-q")
    (tmp_path / "fake" / ".git").mkdir()
    for folder in ("plain", "empty", "fake"):
        found = known(tmp_path / folder)
        assert (found.git_commit, found.git_dirty) == (None, None)


@needs_git
def test_without_git_nothing_is_claimed(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a git that fails or hangs is as good as none."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    assert known(repository).git_commit is None
    (programs / "git").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (programs / "git").chmod(0o755)
    assert (known(repository).git_commit, known(repository).git_dirty) == (None, None)


@needs_git
def test_a_hooks_view_of_another_repository_is_not_taken_over(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside a git hook the environment points to the repository it was called from."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "nothing"))
    assert known(repository).git_commit == _head(repository)


@needs_git
def test_a_repository_of_somebody_else_gives_its_commit_and_starts_no_program(repository: Path, tmp_path: Path) -> None:
    """Git would run what its settings name to tell whether a file changed; so that is not asked."""
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    mark = tmp_path / "ran"
    git(repository, "config", "filter.evil.clean", f"touch {mark}; cat")
    git(repository, "config", "core.fsmonitor", f"touch {mark}")
    (repository / ".gitattributes").write_text("* filter=evil\n", encoding="utf-8")
    (repository / "flow.py").write_text("touched", encoding="utf-8")
    commit = _head(repository)
    for path in [repository, *repository.rglob("*")]:
        os.chown(path, 12345, 12345)
    found = known(repository)
    assert (found.git_commit, found.git_dirty) == (commit, None)
    assert not mark.exists()


def _head(repository: Path) -> str:
    return (repository / ".git" / git_ref(repository)).read_text(encoding="utf-8").strip()


def git_ref(repository: Path) -> str:
    """Return the branch a repository is on, read without git."""
    return (repository / ".git" / "HEAD").read_text(encoding="utf-8").removeprefix("ref: ").strip()


# --- the lock file --------------------------------------------------------------------------------------------------------


def test_the_nearest_lock_file_upwards_is_hashed(tmp_path: Path) -> None:
    """By its name and bytes; of several in one folder the most exact kind."""
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    assert (known(inside).lock_file, known(inside).lock_hash) == (None, None)
    (tmp_path / "requirements.txt").write_bytes(b"far")
    assert (known(inside).lock_file, known(inside).lock_hash) == ("requirements.txt", hashlib.sha256(b"far").hexdigest())
    (tmp_path / "a" / "requirements.txt").write_bytes(b"near")
    assert known(inside).lock_hash == hashlib.sha256(b"near").hexdigest()
    (tmp_path / "a" / "uv.lock").write_bytes(b"exact")
    assert known(inside).lock_file == "uv.lock"


def test_a_lock_file_outside_the_repository_is_of_something_else(tmp_path: Path) -> None:
    """The search ends where the repository does."""
    inside = tmp_path / "repository" / "src"
    inside.mkdir(parents=True)
    (inside.parent / ".git").mkdir()
    (tmp_path / "uv.lock").write_bytes(b"outside")
    assert known(inside).lock_file is None


def test_a_folder_in_the_place_of_a_lock_file_is_passed_over(tmp_path: Path) -> None:
    """As is a file nobody may read: a run does not fail for it."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "uv.lock").mkdir()
    (tmp_path / "poetry.lock").symlink_to("poetry.lock")
    (tmp_path / "requirements.txt").write_bytes(b"x")
    assert known(tmp_path).lock_file == "requirements.txt"


# --- the rest -------------------------------------------------------------------------------------------------------------


def test_interpreter_versions_and_digests_are_recorded(tmp_path: Path) -> None:
    """What else a replay may differ by."""
    plan = shape()
    found = provenance(plan, tmp_path)
    assert found.interpreter == f"{platform.python_implementation()} {platform.python_version()}"
    assert found.platform == f"{sys.platform}-{platform.machine()}"
    assert found.durum_version == durum_version() != "unknown"
    assert found.env_allowlist == ENV_ALLOWLIST
    assert found.step_digests == {"flow.one.main": plan.nodes[0].digest}


class Kernel:
    """A state that implements the contract itself."""

    def meta(self) -> durum.StateMeta:
        """Return nothing special."""
        return durum.StateMeta()

    async def handle(self, ctx: object, io: object, rec: object) -> durum.StateOutcome:
        """Do nothing."""
        del ctx, io, rec
        return durum.StateOutcome()


def test_the_code_of_a_plan_is_where_its_first_step_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the working directory: that may be anywhere. Without a file it is all there is."""
    file = tmp_path / "sub" / "flow.py"
    file.parent.mkdir()
    file.write_text(FLOW, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    plan = load_target("sub/flow.py").plan()
    assert code_folder(plan) == tmp_path / "sub"
    kernel = ExecutionPlan("flow", (StateNode("flow.one.main", Kernel()),), ())
    assert code_folder(kernel) == Path(__file__).parent
    bare: dict[str, Any] = {}
    exec("def made(): return 1", bare)  # noqa: S102 - a function without a file is what this is about
    flow = Workflow("flow")
    flow.step(bare["made"])
    assert code_folder(flow.plan()) == tmp_path


@needs_git
def test_a_run_records_the_repository_of_its_code(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started from somewhere else."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with durum.open("memory://") as service:
        run_id = str(service.start(str(repository / "flow.py"))["run_id"])
        manifest = service._load(run_id).manifest
    assert manifest.build.git_commit == git(repository, "rev-parse", "HEAD")
