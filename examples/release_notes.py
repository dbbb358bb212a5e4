"""Release notes of a git repository: read its history, sum up each area side by side, write one Markdown file.

Run it with `durum run examples/release_notes.py`, kill it whenever you like, and go on with `durum resume RUN`: what git said
is on record, so no answered call is made again, and the notes come out the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from durum import Io, StepError, Workflow

AREAS = {  # by the first part of a file's path; the first area a commit touches is the one it is listed in
    "code": ("src", "lib", "app", "cmd", "pkg", "internal", "crates", "packages", "include"),
    "examples": ("examples", "example", "samples"),
    "tests": ("tests", "test", "spec"),
    "docs": ("docs", "doc", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
    "tooling": ("tools", "scripts", ".ci", ".github", "pyproject.toml", "Makefile"),
    "other": (),
}
AREA_OF = {name: area for area, names in AREAS.items() for name in names}
NEWEST = 2_000  # commits read at most
PAGE = 250  # commits per call of git, so that no answer grows too long
SHOWN = 50  # lines per section

# A path that means the same wherever the run is resumed.
Place = Annotated[str, AfterValidator(lambda path: str(Path(path).expanduser().resolve())), Field(validate_default=True)]


class NotesInput(BaseModel, extra="forbid"):
    """What the notes are about and where they go."""

    repo: Place = str(Path(__file__).parent.parent)  # the checkout this file is in
    since: str = ""  # the notes begin after this tag or commit; empty: with the first commit
    out: Place = ".durum/release-notes.md"


@dataclass(frozen=True)
class Span:
    """The part of the history the notes are about."""

    head: str  # the newest commit
    start: str  # the commit the notes begin after; empty: none
    version: str  # the tag of the newest commit; empty: none
    shallow: bool  # older commits are missing from this clone


@dataclass(frozen=True)
class Commit:
    """One commit."""

    sha: str
    author: str
    subject: str
    files: list[str]


@dataclass(frozen=True)
class Area:
    """The commits that touch an area, and a line for each that is listed there."""

    shas: list[str]
    lines: list[str]


@dataclass(frozen=True)
class Summary:
    """What happened in one area."""

    area: str
    commits: int
    added: int  # lines of files
    removed: int
    lines: list[str]  # of the notes


@dataclass(frozen=True)
class Statistics:
    """The history in figures."""

    commits: int
    files: int
    authors: list[tuple[str, int]]  # name and number of commits, most first


# A parameter's name says what a step needs: an input, or what the step of that name gives. Edges and parallelism follow.
notes = Workflow("release_notes", version="1", inputs=NotesInput, exec=["git"])


@notes.step
async def span(repo: str, since: str, io: Io) -> Span:
    """Find out where the notes begin and end."""
    shallow = await git(io, repo, "rev-parse", "--is-shallow-repository")
    head = await commit_id(io, repo, "HEAD")
    if not head:
        raise StepError(f"{repo} has no commits yet; make one, or name another repository with --input repo=PATH")
    start = await commit_id(io, repo, since) if since else ""
    if since and not start:
        raise StepError(f"{repo} has no tag or commit {since!r}; list its tags with: git -C {repo} tag")
    version = await git(io, repo, "describe", "--tags", "--exact-match", head, otherwise="")
    return Span(head, start, version.strip(), shallow.strip() == "true")


@notes.step
async def releases(repo: str, span: Span, io: Io) -> list[str]:
    """Read the tags of the span, newest first."""
    words = ["for-each-ref", "--sort=refname", "--sort=-creatordate", "--format=%(refname:strip=2) (%(creatordate:short))"]
    ends = [f"--merged={span.head}", *([f"--no-merged={span.start}"] if span.start else [])]
    return (await git(io, repo, *words, f"--count={SHOWN}", *ends, "refs/tags")).splitlines()


@notes.step
async def commits(repo: str, span: Span, io: Io) -> list[Commit]:
    """Read the commits of the span, newest first."""
    ends = [span.head, f"^{span.start}"] if span.start else [span.head]
    shas = (await git(io, repo, "rev-list", "--no-merges", f"--max-count={NEWEST}", *ends)).split()
    found: list[Commit] = []
    for begin in range(0, len(shas), PAGE):
        page = shas[begin : begin + PAGE]
        found += parsed(page, await diff_tree(io, repo, page, "-z", "--name-only", "--format=%H%n%an%n%s"))
        io.progress(f"read {len(found):,} of {len(shas):,} commits")
    return found


@notes.step
def areas(commits: list[Commit]) -> dict[str, Area]:
    """Group the commits by area; one that no commit touches is left out."""
    grouped = {area: Area([], []) for area in AREAS}
    for commit in commits:
        tops = {file.partition("/")[0] for file in commit.files}
        touched = [area for area in AREAS if area in {AREA_OF.get(top, "other") for top in tops}] or ["other"]
        for area in touched:
            grouped[area].shas.append(commit.sha)
        grouped[touched[0]].lines.append(f"{commit.subject} ({commit.sha[:9]})")
    return {area: group for area, group in grouped.items() if group.shas}


@notes.step(each="areas", writes="summaries")
async def summary(item: tuple[str, Area], repo: str, io: Io) -> Summary:
    """Sum up one area; all of them are summed up side by side."""
    area, found = item
    paths = AREAS[area] or [f":(exclude){name}" for name in AREA_OF]
    changes = await diff_tree(io, repo, found.shas, "--shortstat", "--format=", "--", *paths)
    added, removed = (sum(map(int, re.findall(rf"(\d+) {what}", changes))) for what in ("insertion", "deletion"))
    io.progress(f"commits {len(found.shas):,}, lines +{added:,} -{removed:,}")
    return Summary(area, len(found.shas), added, removed, found.lines)


@notes.step
def statistics(commits: list[Commit]) -> Statistics:
    """Count commits, files and authors."""
    authors = Counter(commit.author for commit in commits if commit.author)
    ranked = sorted(authors.items(), key=lambda author: (-author[1], author[0]))
    files = {file for commit in commits for file in commit.files}
    return Statistics(len(commits), len(files), ranked)


@notes.step
def markdown(repo: str, since: str, span: Span, releases: list[str], summaries: list[Summary], statistics: Statistics) -> str:
    """Put the notes together."""
    begin = f"since {plain(since)}" if since else "from the first commit on"
    text = [f"# Release notes: {plain(Path(repo).name)} {plain(span.version)}".rstrip(), ""]
    text += [f"All changes {begin}, up to commit {span.head[:9]}.", ""]
    text += [f"Commits: {statistics.commits:,}, authors: {len(statistics.authors):,}, files: {statistics.files:,}."]
    if statistics.commits == NEWEST:
        text += [f"No more than the newest {NEWEST:,} commits are read."]
    if span.shallow:
        text += ["This clone is shallow: older commits are missing, and every file of its oldest commit counts as new."]
    summaries = sorted(summaries, key=lambda part: [*AREAS].index(part.area))
    text += ["", "| area     | commits | lines added | lines removed |", "|----------|--------:|------------:|--------------:|"]
    text += [
        f"| {part.area.capitalize():8} | {part.commits:7,} | {part.added:11,} | {part.removed:13,} |" for part in summaries
    ]
    sections = [(part.area.capitalize(), part.lines) for part in summaries]
    sections += [("Releases", releases), ("Authors", [f"{name}: {number:,}" for name, number in statistics.authors])]
    for title, lines in sections:
        text += ["", f"## {title}", "", *(f"- {plain(line)}" for line in lines[:SHOWN])] if lines else []
        text += [f"- and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    return "\n".join([*text, ""])


@notes.step(effects="apply_side_effect", idempotency="{run_id}/notes")
async def written(markdown: str, out: str, io: Io) -> str:
    """Write the file: the one thing this workflow changes in the world."""
    await io.write_file(out, markdown)
    io.progress(f"wrote {out}")
    return out


async def git(io: Io, repo: str, *words: str, stdin: str = "", otherwise: str | None = None) -> str:
    """Return what git writes; if it fails, ``otherwise``, or fail the step. No setting of the repository starts a program."""
    settings = ("safe.directory=*", "core.fsmonitor=false", "core.hooksPath=/dev/null", "i18n.logOutputEncoding=UTF-8")
    options = [option for setting in settings for option in ("-c", setting)]
    ceiling = str(Path(repo).parent)  # a folder inside a repository is no repository
    env = {"GIT_ALLOW_PROTOCOL": "none", "GIT_CEILING_DIRECTORIES": ceiling, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    command = ["git", "--no-pager", "-C", repo, *options, *words]
    result = await io.exec(command, env=env, stdin=stdin, timeout=timedelta(minutes=10), check=False)
    if result.exit_code == 0:
        return result.stdout
    if otherwise is None:
        reason = result.stderr.strip().partition("\n")[0].removeprefix("fatal: ")
        raise StepError(f"git cannot read {repo}: {reason}; name a repository with --input repo=PATH")
    return otherwise


async def commit_id(io: Io, repo: str, name: str) -> str:
    """Return the id of the commit that a name stands for, empty if there is none."""
    return (await git(io, repo, "rev-parse", "--verify", "--quiet", name + "^{commit}", otherwise="")).strip()


async def diff_tree(io: Io, repo: str, shas: Sequence[str], *words: str) -> str:
    """Compare commits with their parents by the part of git that heeds no personal settings."""
    plainly = ("--always", "--root", "-r", "--no-ext-diff", "--no-textconv")
    return await git(io, repo, "diff-tree", "--stdin", *plainly, *words, stdin="\n".join([*shas, ""]))


def parsed(shas: Sequence[str], output: str) -> list[Commit]:
    """Return the commits of a page: each is three lines and a NUL, then come its files, with a NUL after each."""
    found: dict[str, Commit] = {}
    files: list[str] = []
    for part in output.split("\0"):
        match part.split("\n"):
            case [sha, author, subject] if sha in shas:
                found[sha] = Commit(sha, author, subject, files := [])
            case _ if part:
                files.append(part.removeprefix("\n"))
    # What looks like a secret is blanked out before a step sees it; half a private key takes along all that follows it.
    return [found.get(sha) or Commit(sha, "", "[secret]", []) for sha in shas]


def plain(text: str) -> str:
    """Return other people's text so that Markdown and terminals show it as it is."""
    return re.sub(r"([\\<\[*])", r"\\\1", "".join(letter if letter.isprintable() else "\ufffd" for letter in text))
