"""Decide what a child process inherits, and which variables a call may set for it."""

from __future__ import annotations

import os
import re
from pathlib import Path

_INHERITED = (
    *("HOME", "USER", "LOGNAME", "TMPDIR", "TZ"),
    *("LANG", "LC_ALL", "LC_CTYPE"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # no other name: bash runs functions that arrive as BASH_FUNC_name%%

# Variables that make the loader, a shell, an interpreter, git or a tool of every day run code from elsewhere. No such list is
# complete, so names never come from a user; of large families all but the harmless ones are refused.
_TAKES_OVER = re.compile(
    r"PATH|IFS|CDPATH|ENV|SHELL|BASH_.*|BASHOPTS|SHELLOPTS|PS[0-4]|PROMPT_COMMAND|ZDOTDIR|FPATH"
    r"|LD_.*|DYLD_.*|GCONV_PATH|GLIBC_TUNABLES"
    r"|PYTHON.*|PERL.*|RUBY(?:OPT|LIB)|NODE_(?:OPTIONS|PATH)|(?i:npm_config_(?:git|node_options|script_shell|shell|viewer))|LUA_.*|PHPRC|PHP_INI_SCAN_DIR"
    r"|CLASSPATH|_?JAVA_.*|JDK_JAVA_OPTIONS|(?:MAVEN|GRADLE)_OPTS|RUSTC.*|CARGO_BUILD_RUSTC.*"
    r"|GIT_.*|.*_ASKPASS|.*_RSH|SVN_SSH|HGRCPATH|HGMERGE|XDG_CONFIG_.*"
    r"|(?:.*_)?(?:EDITOR|PAGER)|MANPAGER|VISUAL|BROWSER|LESS(?:OPEN|CLOSE)|TAR_OPTIONS|(?:GNU)?MAKE(?:FLAGS|FILES)"
)
_HARMLESS = re.compile(
    r"PYTHON(?:UNBUFFERED|DONTWRITEBYTECODE|HASHSEED|UTF8|IOENCODING|FAULTHANDLER|OPTIMIZE)"
    r"|GIT_(?:AUTHOR|COMMITTER)_(?:NAME|EMAIL|DATE)"
    r"|GIT_(?:ALLOW_PROTOCOL|CEILING_DIRECTORIES|CONFIG_NOSYSTEM|INDEX_FILE|OPTIONAL_LOCKS|TERMINAL_PROMPT)"
)


def search_path() -> str:
    """Return the absolute folders of ``PATH``: an empty or relative one is wherever a process happens to stand."""
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(folder).is_absolute()]
    return os.pathsep.join(folders) or os.defpath


def inherited_environment() -> dict[str, str]:
    """Return the variables that every child gets; nothing else of Durum's own environment is passed on."""
    return {"PATH": search_path()} | {name: os.environ[name] for name in _INHERITED if name in os.environ}


def refused_variable(name: str) -> str | None:
    """Return why a call may not set this variable for its child, None if it may."""
    if not _NAME.fullmatch(name):
        return f"env name {name!r} must be letters, digits and _, and begin with no digit"
    if _TAKES_OVER.fullmatch(name) and not _HARMLESS.fullmatch(name):
        return f"env {name} can make a command run others; use an option of the command, or declare env and call that"
    return None
