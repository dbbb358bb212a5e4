"""The release notes example on real repositories: what the notes say, whatever the repository is like."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import durum
from examples import release_notes
from examples.release_notes import Commit, NotesInput, notes
from tests.examples.repositories import Repository, known_history

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject

ROOT = Path(__file__).resolve().parent.parent.parent
WORKFLOW = ROOT / "examples" / "release_notes.py"


@pytest.fixture(autouse=True)
def _no_personal_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Git must not find the settings of whoever runs the tests, such as a safe.directory of theirs."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def run(repo: Path, out: Path, **inputs: str) -> JsonObject:
    """Run the workflow in memory and return the run's summary."""
    with durum.open("memory://") as store:
        return store.start(notes, {"repo": str(repo), "out": str(out), **inputs})


def made(repo: Path, out: Path, **inputs: str) -> str:
    """Run the workflow, which has to complete, and return the notes."""
    summary = run(repo, out, **inputs)
    assert summary["status"] == "completed", summary["error"]
    return out.read_text(encoding="utf-8")


def refusal(repo: Path, out: Path, **inputs: str) -> str:
    """Run the workflow, which has to fail and write nothing, and return what it says."""
    summary = run(repo, out, **inputs)
    assert summary["status"] == "failed"
    assert not out.exists()
    error = summary["error"]
    assert isinstance(error, dict)
    assert error["code"] == "step_failed"
    return str(error["message"])


# --- what the notes say ---------------------------------------------------------------------------------------------------


def test_the_notes_are_the_history(tmp_path: Path) -> None:
    """Every word and figure is checked: areas, lines, authors and tags, without merges, and Markdown in subjects disarmed."""
    repository = known_history(tmp_path / "thing")
    shas = repository.shas()
    assert (
        made(repository.path, tmp_path / "notes.md")
        == f"""\
# Release notes: thing v0.2

All changes from the first commit on, up to commit {shas["Merge branch 'side'"]}.

Commits: 6, authors: 3, files: 6.

| area     | commits | lines added | lines removed |
|----------|--------:|------------:|--------------:|
| Code     |       2 |           5 |             2 |
| Tests    |       1 |           2 |             0 |
| Docs     |       2 |           3 |             0 |
| Tooling  |       1 |           1 |             0 |
| Other    |       1 |           4 |             0 |

## Code

- Explain the engine ({shas["Explain the engine"]})
- Begin the engine ({shas["Begin the engine"]})

## Tests

- Test the engine ({shas["Test the engine"]})

## Docs

- Say \\<b>hello\\</b> \\*\\[here](x) ({shas["Say <b>hello</b> *[here](x)"]})

## Tooling

- Build it ({shas["Build it"]})

## Other

- Keep some data ({shas["Keep some data"]})

## Releases

- v0.2 (2026-01-07)
- v0.1 (2026-01-04)

## Authors

- Ada Lovelace: 3
- Grace Hopper: 2
- Zoë Ångström: 1
"""
    )


def test_the_notes_begin_after_a_tag(tmp_path: Path) -> None:
    """``since`` leaves out what that tag holds already: its commits, its lines and the tag itself."""
    text = made(known_history(tmp_path / "thing").path, tmp_path / "notes.md", since="v0.1")
    assert "All changes since v0.1, up to commit" in text
    assert "Commits: 3, authors: 2, files: 3." in text
    assert "| Code" not in text
    assert "v0.2 (2026-01-07)" in text
    assert "v0.1 (" not in text


def test_nothing_new_is_no_failure(tmp_path: Path) -> None:
    """Notes since the newest commit are notes of nothing."""
    assert "Commits: 0, authors: 0, files: 0." in made(known_history(tmp_path / "thing").path, tmp_path / "n.md", since="HEAD")


def test_a_repository_without_tags_and_of_one_commit(tmp_path: Path) -> None:
    """Tags are not needed, nor is a parent: the first commit's files are all new."""
    repository = Repository(tmp_path / "young")
    repository.commit("Begin", {"src/a.py": "1\n2\n"})
    text = made(repository.path, tmp_path / "notes.md")
    assert text.startswith("# Release notes: young\n")
    assert "| Code     |       1 |           2 |             0 |" in text
    assert "## Releases" not in text


def test_a_shallow_clone_says_that_it_is_one(tmp_path: Path) -> None:
    """What a shallow clone lacks is no failure, and the notes do not pass its oldest commit off as a whole history."""
    source = known_history(tmp_path / "thing")
    source.commit("Newest", {"src/new.py": "1\n"})
    clone = tmp_path / "clone"
    source.git("clone", "--quiet", "--depth", "1", f"file://{source.path}", str(clone))
    text = made(clone, tmp_path / "notes.md")
    assert "Commits: 1, authors: 1, files: 7." in text
    assert "This clone is shallow" in text
    assert "This clone is shallow" not in made(source.path, tmp_path / "notes.md")


def test_a_bare_repository_is_read_as_well(tmp_path: Path) -> None:
    """A server has no checkout; the notes need none."""
    source = known_history(tmp_path / "thing")
    source.git("clone", "--quiet", "--bare", str(source.path), str(tmp_path / "bare.git"))
    assert "| Other    |       1 |           4 |             0 |" in made(tmp_path / "bare.git", tmp_path / "notes.md")


def test_a_long_history_is_read_up_to_a_bound(tmp_path: Path) -> None:
    """The newest 2,000 commits are read, in pages, and a section stays readable."""
    repository = Repository(tmp_path / "long")
    repository.fast_import((f"Change {number}".encode(), {b"src/a": b"%d\n" % number}) for number in range(2_100))
    text = made(repository.path, tmp_path / "notes.md")
    assert "Commits: 2,000, authors: 1, files: 1.\nNo more than the newest 2,000 commits are read." in text
    assert "| Code     |   2,000 |       2,000 |         2,000 |" in text
    assert re.findall(r"- Change (\d+)", text) == [str(number) for number in range(2_099, 2_049, -1)]
    assert "- and 1,950 more" in text


# --- what cannot be read --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["a plain folder", "a folder inside a repository", "nothing at all", "a file"])
def test_what_is_no_repository_fails_with_one_sentence(tmp_path: Path, kind: str) -> None:
    """The sentence names the path and says what to do; a repository around the folder is not taken for the one meant."""
    folder = tmp_path / "plain"
    if kind == "a folder inside a repository":
        folder = known_history(tmp_path / "thing").path / "src"
    elif kind == "a plain folder":
        folder.mkdir()
    elif kind == "a file":
        folder.write_text("no folder")
    said = refusal(folder, tmp_path / "notes.md")
    assert said.startswith(f"git cannot read {folder}: ")
    assert said.endswith("; name a repository with --input repo=PATH")
    assert "\n" not in said


def test_a_repository_without_commits_fails_with_one_sentence(tmp_path: Path) -> None:
    """There is nothing to write notes about."""
    repository = Repository(tmp_path / "empty")
    assert refusal(repository.path, tmp_path / "notes.md") == (
        f"{repository.path} has no commits yet; make one, or name another repository with --input repo=PATH"
    )


@pytest.mark.parametrize("since", ["v9", "--all", "HEAD:src"])
def test_an_unknown_start_fails_with_one_sentence(tmp_path: Path, since: str) -> None:
    """What is no tag or commit is refused, an option of git among it."""
    repository = known_history(tmp_path / "thing")
    assert refusal(repository.path, tmp_path / "notes.md", since=since) == (
        f"{repository.path} has no tag or commit {since!r}; list its tags with: git -C {repository.path} tag"
    )


def test_the_command_line_says_it_and_exits_with_1(tmp_path: Path) -> None:
    """A person at a terminal sees the sentence, and a script the exit code."""
    words = ["run", str(WORKFLOW), "--input", f"repo={tmp_path}", "--store", f"sqlite:///{tmp_path}/runs.db", "--json"]
    ended = subprocess.run([sys.executable, "-m", "durum", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"git cannot read {tmp_path}: not a git repository" in json.loads(ended.stdout)["error"]["message"]
    assert f"git cannot read {tmp_path}: not a git repository" in ended.stderr


# --- what nobody vouches for ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to somebody else")
def test_a_repository_of_another_user_is_read(tmp_path: Path) -> None:
    """Git refuses such a repository by default; reading it the way this workflow does is safe."""
    repository = known_history(tmp_path / "thing")
    for path in [repository.path, *repository.path.rglob("*")]:
        os.chown(path, 54_321, 54_321, follow_symlinks=False)
    refused = subprocess.run(["git", "-C", repository.path, "log"], capture_output=True, text=True, check=False)
    assert "dubious ownership" in refused.stderr
    assert "Commits: 6, authors: 3, files: 6." in made(repository.path, tmp_path / "notes.md")


def test_settings_of_the_repository_start_no_program_and_change_nothing(tmp_path: Path) -> None:
    """Whatever git would run for a repository's own settings stays unrun, and the notes are as without them."""
    repository = known_history(tmp_path / "thing")
    before = made(repository.path, tmp_path / "notes.md")
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\necho sprung >> {tmp_path}/sprung\ncat\n")
    trap.chmod(0o755)
    programs = (
        "core.fsmonitor",
        "core.pager",
        "pager.log",
        "diff.external",
        "diff.x.textconv",
        "diff.x.command",
        "gpg.program",
    )
    others = (
        "color.ui always",
        "diff.renames copies",
        "diff.relative true",
        "diff.orderFile /nowhere",
        "log.showSignature true",
    )
    for name in (*programs, "core.sshCommand"):
        repository.git("config", name, str(trap))
    for setting in (*others, "i18n.logOutputEncoding UTF-16", "log.showRoot false", "core.quotePath false"):
        repository.git("config", *setting.split())
    (repository.path / ".git" / "info" / "attributes").write_text("* diff=x filter=x\n")
    hooks = repository.path / ".git" / "hooks"
    for hook in ("post-index-change", "reference-transaction", "pre-auto-gc"):
        (hooks / hook).symlink_to(trap)
    assert made(repository.path, tmp_path / "notes.md") == before
    assert not (tmp_path / "sprung").exists()


def test_a_missing_object_is_not_fetched(tmp_path: Path) -> None:
    """A partial clone would have git start ssh for the objects it left out; the run fails instead, and says why."""
    source = known_history(tmp_path / "thing")
    source.git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "partial"
    source.git("clone", "--quiet", "--bare", "--filter=blob:none", f"file://{source.path}", str(clone))
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\necho sprung >> {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for name, value in (("remote.origin.url", "ssh://nowhere.invalid/x"), ("core.sshCommand", str(trap))):
        source.git("-C", str(clone), "config", name, value)
    assert str(clone) in refusal(clone, tmp_path / "notes.md")
    assert not (tmp_path / "sprung").exists()


def test_strange_bytes_in_names_and_messages(tmp_path: Path) -> None:
    """Names that are no UTF-8, quotes and line ends in file names, and codes that would move a cursor: all are just text."""
    repository = Repository(tmp_path / "strange")
    repository.fast_import(
        [
            (b"Latin \xe4\xf6\xfc", {b'src/we"ird\n name': b"1\n", b"src/\xff\xfe": b"2\n", b"\nsrc": b"3\n"}),
            (b"Move \x1b[31mthe cursor\x07 \xe2\x80\xae", {b"tests/\x01": b"1\n"}),
            (b"Change nothing", {}),
            (b"", {b"docs/\xe6\x97\xa5\xe6\x9c\xac": b"1\n"}),
        ],
        author=b"J\xf6rg \xc5ngstr\xf6m",
    )
    text = made(repository.path, tmp_path / "notes.md")
    assert "Commits: 4, authors: 1, files: 5." in text
    assert "| Code     |       1 |           2 |             0 |" in text
    assert "- Latin \ufffd\ufffd\ufffd (" in text
    assert "- Move \ufffd\\[31mthe cursor\ufffd \ufffd (" in text
    assert "## Other\n\n- Change nothing (" in text
    assert "- J\ufffdrg \ufffdngstr\ufffdm: 4" in text


TOKEN = "ghp_" + "a1B2" * 9
KEY = "-----BEGIN RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        (f"Remove {TOKEN} from the code", "- Remove \\[secret] from the code ("),
        ("Set password=hunter2 in the tests", "- Set password=hunter2 in the tests ("),
        ("Fetch https://bob:hunter2@example.org/x", "- Fetch https://\\[secret]@example.org/x ("),
        (f"Drop {KEY} MIIEpAIBAAKCAQEA -----END RSA PRIVATE KEY-----", "- Drop \\[secret] ("),
        (f"Drop {KEY} MIIEpAIBAAKCAQEA and half of it", "- Drop \\[secret]"),
    ],
)
def test_a_history_with_secrets_gets_its_notes_without_them(tmp_path: Path, subject: str, shown: str) -> None:
    """A token in a message neither stops the run nor reaches the notes, and the other commits are still counted and listed."""
    repository = Repository(tmp_path / "leaky")
    repository.commit("First", {"src/password": "1\n", "src/token=x": "2\n"})
    repository.commit(subject, {"src/api_key": "1\n"})
    repository.commit("Last", {f"src/{TOKEN}": "1\n"})
    text = made(repository.path, tmp_path / "notes.md")
    assert "Commits: 3, authors: 1, files: " in text
    assert shown in text
    assert "- Last (" in text
    assert TOKEN not in text
    assert "MIIE" not in text


# --- the steps are plain functions ----------------------------------------------------------------------------------------


def test_a_commit_is_listed_in_the_first_area_it_touches_and_counted_in_each() -> None:
    """Without a run: a decorated step is still the function its author wrote."""
    found = release_notes.areas(
        [
            Commit("a" * 40, "Ada", "Both", ["tests/x", "src/y/z", "tests/w"]),
            Commit("b" * 40, "Ada", "Neither", ["COPYING", "srcs/x"]),
            Commit("c" * 40, "Ada", "Empty", []),
        ]
    )
    assert {area: [sha[0] for sha in group.shas] for area, group in found.items()} == {
        "code": ["a"],
        "tests": ["a"],
        "other": ["b", "c"],
    }
    assert found["code"].lines == ["Both (aaaaaaaaa)"]
    assert found["tests"].lines == []


def test_the_default_inputs_are_this_checkout_and_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths are made absolute when the run starts, for it may be resumed from another directory."""
    monkeypatch.chdir(tmp_path)
    given = NotesInput()
    assert (given.repo, given.out) == (str(ROOT), str(tmp_path / ".durum" / "release-notes.md"))
    assert NotesInput(repo="x/../y").repo == str(tmp_path / "y")
