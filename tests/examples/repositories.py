"""Real git repositories with a known history, the same ids every time."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ADA = "Ada Lovelace"
GRACE = "Grace Hopper"
ZOE = "Zoë Ångström"


class Repository:
    """A repository that commits one day after the other, from 2026-01-01 on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.day = 0
        path.mkdir()
        self.git("init", "--quiet")
        self.git("symbolic-ref", "HEAD", "refs/heads/main")

    def git(self, *words: str, given: bytes = b"", author: str = ADA) -> str:
        """Run git in the repository, heeding no personal settings, and return what it writes."""
        when = f"2026-01-{self.day + 1:02}T12:00:00+00:00"
        env = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": author,
            "GIT_COMMITTER_NAME": author,
            "GIT_AUTHOR_EMAIL": "dev@example.org",
            "GIT_COMMITTER_EMAIL": "dev@example.org",
            "GIT_AUTHOR_DATE": when,
            "GIT_COMMITTER_DATE": when,
        }
        done = subprocess.run(["git", *words], cwd=self.path, env=env, input=given, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode(errors="replace")

    def commit(self, subject: str, files: Mapping[str, str], author: str = ADA) -> None:
        """Write files and commit them, the next day."""
        for name, text in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject, author=author)
        self.day += 1

    def fast_import(self, commits: Iterable[tuple[bytes, Mapping[bytes, bytes]]], author: bytes = b"Ada Lovelace") -> None:
        """Add commits of any bytes, message and files each."""
        script = b""
        for number, (message, files) in enumerate(commits):
            when = b"%s <dev@example.org> %d +0000\n" % (author, 1_700_000_000 + number)
            script += b"commit refs/heads/main\nauthor %scommitter %sdata %d\n%s\n" % (when, when, len(message), message)
            for name, content in files.items():
                script += b"M 100644 inline %s\ndata %d\n%s\n" % (quoted(name), len(content), content)
        self.git("fast-import", "--quiet", given=script)

    def shas(self) -> dict[str, str]:
        """Return subject -> the beginning of the commit's id."""
        lines = self.git("log", "--format=%s%x00%H").splitlines()
        return {subject: sha[:9] for subject, sha in (line.split("\0") for line in lines)}


def quoted(name: bytes) -> bytes:
    """Return a file's name as fast-import reads any bytes."""
    return b'"' + b"".join(b"\\%03o" % byte for byte in name) + b'"'


def known_history(path: Path) -> Repository:
    """Return a repository of six commits, a merge and two tags; its tests know it by heart."""
    repository = Repository(path)
    repository.commit("Begin the engine", {"src/engine.py": "one\ntwo\nthree\n"})
    repository.commit("Test the engine", {"tests/test_engine.py": "one\ntwo\n"}, GRACE)
    repository.commit("Explain the engine", {"docs/guide.md": "one\n", "src/engine.py": "one\n2\n3\n"}, GRACE)
    repository.git("tag", "--annotate", "--message", "First", "v0.1", "HEAD")
    repository.git("switch", "--quiet", "--create", "side")
    repository.commit("Keep some data", {"data/x": "1\n2\n3\n4\n"})
    repository.commit("Say <b>hello</b> *[here](x)", {"README.md": "hello\nworld\n"})
    repository.git("switch", "--quiet", "main")
    repository.commit("Build it", {"scripts/build": "make\n"}, ZOE)
    repository.git("merge", "--quiet", "--no-ff", "--message", "Merge branch 'side'", "side")
    repository.git("tag", "v0.2")
    return repository
