"""Release notes of a git repository: read its history, sum up each area side by side, write one Markdown file.

Run it with `durum run examples/release_notes.py`, kill it whenever you like, and go on with `durum resume RUN`: every git call
whose answer is on record is not made again, and the notes come out the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from textwrap import shorten
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from durum import ExecResult, Io, StepError, Workflow

# The area of a commit is the first of these that it touches, by the first part of its files' paths.
AREAS = {
    "code": ("src", "lib", "app", "cmd", "pkg", "internal", "crates", "packages", "include"),
    "examples": ("examples", "example", "demo", "samples"),
    "tests": ("tests", "test", "spec"),
    "docs": ("docs", "doc", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
    "tooling": ("tools", "scripts", "ci", ".ci", ".github", "pyproject.toml", "Makefile"),
    "other": (),
}
NEWEST = 2_000  # commits read at most
PAGE = 250  # commits read per call, so that no answer grows too long
SHOWN = 20  # commits listed per area
SHORT = 9  # characters of a commit id that people read


def absolute(path: str) -> str:
    """Make a path mean the same wherever the run is resumed."""
    return str(Path(path).expanduser().resolve())


Place = Annotated[str, AfterValidator(absolute), Field(validate_default=True)]


class NotesInput(BaseModel, extra="forbid"):
    """What the notes are about and where they go."""

    repo: Place = str(Path(__file__).parent.parent)  # the checkout this file is in
    since: str = ""  # a tag or commit; empty: the last tag before the newest commit, else the beginning
    out: Place = ".durum/release-notes.md"


@dataclass(frozen=True)
class Span:
    """The part of the history the notes are about."""

    head: str  # id of the newest commit
    version: str  # its tag, if it has one
    since: str  # tag or commit the notes begin after; empty: the beginning
    shallow: bool  # the clone lacks older commits


@dataclass(frozen=True)
class Commit:
    """One commit."""

    id: str
    date: str
    author: str
    subject: str
    files: list[str]


@dataclass(frozen=True)
class Summary:
    """What happened in one area."""

    area: str
    commits: int
    added: int  # lines
    removed: int
    newest: list[str]  # one line a commit


@dataclass(frozen=True)
class Statistics:
    """The history in figures."""

    commits: int
    files: int
    authors: list[tuple[str, int]]  # name and commits, most first
    newest: str  # date


notes = Workflow("release_notes", version="1", inputs=NotesInput, exec=["git"])
notes.key("summaries", merge="append")


@notes.step
async def span(repo: str, since: str, io: Io) -> Span:
    """Find the newest commit and the tag before it."""
    shallow = await git(io, repo, "rev-parse", "--is-shallow-repository")
    if shallow.exit_code:
        reason = shallow.stderr.strip().partition("\n")[0].removeprefix("fatal: ")
        raise StepError(f"{repo} cannot be read as a git repository ({reason}); name the top folder of one: --input repo=PATH")
    head = await git(io, repo, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head.exit_code:
        raise StepError(f"{repo} has no commits yet; commit something, or name another repository: --input repo=PATH")
    version = await git(io, repo, "describe", "--tags", "--exact-match", "HEAD")
    before = since or (await git(io, repo, "describe", "--tags", "--abbrev=0", "HEAD^")).stdout.strip()
    return Span(head.stdout.strip(), version.stdout.strip(), before, shallow.stdout.strip() == "true")


@notes.step
async def commits(repo: str, span: Span, io: Io) -> list[Commit]:
    """Read the commits of the span, newest first."""
    begin = []
    if span.since:
        start = await git(io, repo, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{span.since}^{{commit}}")
        if start.exit_code:
            raise StepError(f"{repo} has no tag or commit {span.since!r}; list its tags with: git -C {repo} tag")
        begin = [f"^{start.stdout.strip()}"]
    ids = (await git_text(io, repo, "rev-list", "--no-merges", f"--max-count={NEWEST}", span.head, *begin)).split()
    found: list[Commit] = []
    for first in range(0, len(ids), PAGE):
        page = ids[first : first + PAGE]
        found += parsed(page, await diff_tree(io, repo, page, "-z", "--name-only", "--format=%H%n%as%n%an%n%s"))
        io.progress(f"read {len(found)} of {len(ids)} commits")
    return found


def parsed(ids: Sequence[str], output: str) -> list[Commit]:
    """Return the commits of one page; all that git wrote is separated by NUL, for a file's name may hold anything else."""
    known: dict[str, Commit] = {}
    files: list[str] = []
    for part in output.split("\0"):
        lines = part.split("\n")
        if lines[0] in ids and len(lines) == 4:
            files = []
            known[lines[0]] = Commit(lines[0], lines[1], printable(lines[2]), shorten(printable(lines[3]), 160), files)
        elif part:
            files.append(printable(part.removeprefix("\n")))
    # Durum blanks out secrets before a step sees them; one without an end takes what comes after it along.
    return [known.get(id) or Commit(id, "", "", "[secret]", []) for id in ids]


@notes.step
def areas(commits: list[Commit]) -> dict[str, list[Commit]]:
    """Group the commits by area."""
    grouped: dict[str, list[Commit]] = {area: [] for area in AREAS}
    for commit in commits:
        tops = {file.partition("/")[0] for file in commit.files}
        grouped[next((area for area, names in AREAS.items() if tops.intersection(names)), "other")].append(commit)
    return grouped


def summary_of(area: str) -> Callable[..., Awaitable[list[Summary]]]:
    """Return the step that sums up one area; there is one for each, and they run side by side."""

    async def summary(repo: str, areas: dict[str, list[Commit]], io: Io) -> list[Summary]:
        found = areas[area]
        if not found:
            return []
        stat = await diff_tree(io, repo, [commit.id for commit in found], "--shortstat", "--format=")
        added, removed = (sum(map(int, re.findall(rf"(\d+) {word}", stat))) for word in ("insertion", "deletion"))
        io.progress(f"{area}: {len(found)} commits, +{added:,} -{removed:,} lines")
        lines = [f"{plain(commit.subject)} ({commit.id[:SHORT]})" for commit in found[:SHOWN]]
        return [Summary(area, len(found), added, removed, lines)]

    return summary


for _area in AREAS:
    notes.step(name=f"summary_{_area}", writes="summaries")(summary_of(_area))


@notes.step
def statistics(commits: list[Commit]) -> Statistics:
    """Count commits, files and authors."""
    authors = Counter(commit.author for commit in commits if commit.author)
    ranked = sorted(authors.items(), key=lambda item: (-item[1], item[0]))
    files = {file for commit in commits for file in commit.files}
    return Statistics(len(commits), len(files), ranked, max((commit.date for commit in commits), default=""))


@notes.step
def markdown(repo: str, span: Span, summaries: list[Summary], statistics: Statistics) -> str:
    """Put the notes together."""
    since = f"since {plain(span.since)}" if span.since else "from the beginning"
    lines = [f"# {plain(Path(repo).name)} {plain(span.version) or '(unreleased)'}", ""]
    lines += [f"What changed {since} up to {span.head[:SHORT]}" + (f" of {statistics.newest}." if statistics.newest else "."), ""]
    if span.shallow:
        lines += ["This clone is shallow: older commits are not in it, and its oldest one counts as if it had written every file.", ""]
    ...
    return "\n".join(lines) + "\n"
