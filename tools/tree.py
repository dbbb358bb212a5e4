"""The module tree of docs/architecture.md, made of the first line of every module's docstring.

`python3 tools/tree.py` prints it, `python3 tools/tree.py --write` puts it into the page. Needs nothing installed.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # run as a file: the folder that holds `tools`, not `tools`

from tools.project import ROOT, python_files

PAGE = "docs/architecture.md"
SOURCE = "src/durum"
BEGIN = "<!-- tree: made by `python3 tools/tree.py --write` from the modules' docstrings -->\n"
END = "<!-- /tree -->\n"


def main(args: list[str]) -> int:
    """Print the tree, or put it into the page."""
    if args not in ([], ["--write"]):
        print("usage: python3 tools/tree.py [--write]", file=sys.stderr)
        return 2
    if not args:
        print(tree(ROOT), end="")
        return 0
    page = ROOT / PAGE
    page.write_text(with_tree(page.read_text("utf-8"), tree(ROOT)), encoding="utf-8")
    return 0


def tree(root: Path) -> str:
    """Return the modules of the source with what each is for; a room's own line is that of its `__init__`."""
    rooms: dict[Path, list[Path]] = {}
    for file in python_files(root, SOURCE):
        rooms.setdefault(file.parent, []).append(file)
    lines = ["```text"]
    for room, files in sorted(rooms.items()):
        inside = room.relative_to(root / SOURCE)
        indent = "" if room == root / SOURCE else "  "
        name = f"{SOURCE}/" if not inside.parts else f"{inside.as_posix()}/"
        lines.append(row(indent + name, purpose(room / "__init__.py")))
        lines += [row(f"{indent}  {file.stem}", purpose(file)) for file in files if file.name != "__init__.py"]
    return "\n".join([*lines, "```"]) + "\n"


def row(name: str, line: str) -> str:
    """Return one line of the tree."""
    return f"{name:<20} {line}".rstrip()


def purpose(file: Path) -> str:
    """Return the first line of a module's docstring, empty if it has none."""
    if not file.is_file():
        return ""
    docstring = ast.get_docstring(ast.parse(file.read_text("utf-8")))
    return (docstring or "").partition("\n")[0]


def with_tree(page: str, made: str) -> str:
    """Return the page with the tree between its two markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        message = f"{PAGE} lacks the lines {BEGIN.strip()} and {END.strip()}"
        raise SystemExit(message)
    return before + begin + made + end + after


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
