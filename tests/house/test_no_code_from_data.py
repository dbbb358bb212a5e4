"""Nothing read from a store is run or imported: no such call stands in the source, and no name in a store is followed."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from tests.golden.reading import STORES
from tests.golden.record_store import CUT
from tests.history.tampered import SEQ_BITS, chained, genesis
from tests.house.code_from_data import ANNOTATIONS, BY_NAME, EXTENSION, HOOK, SHELL, STAR, findings
from tools.project import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FOLDERS = ("src/durum", "tools", "bench", "examples", "scripts")
TARGETS = "src/durum/app/targets.py"

# Places where a name that is not written there is followed, and why nothing stored can stand for it.
ALLOWED = {
    (TARGETS, "importlib"): "the one place that loads code: only what a person names on the command line or in a settings file",
    (TARGETS, BY_NAME): "a name the person gave, or one the import system itself listed; the value is looked at, never called",
    ("examples/demo.py", BY_NAME): "options of its own command line",
    ("src/durum/__init__.py", BY_NAME): "public names, asked for by the importing code",
    ("src/durum/app/invocation_key.py", BY_NAME): "fields of our own configuration class",
    ("src/durum/cli/verb.py", ANNOTATIONS): "annotations of our own commands",
    ("src/durum/history/verify.py", BY_NAME): "fields of our own event classes; the value is text",
    ("src/durum/history/walk.py", BY_NAME): "fields of our own event classes; the value is text",
    ("src/durum/stores/database.py", "ctypes"): "the interpreter's count of who uses a connection, so that one is never freed",
    (
        "src/durum/stores/log_sync.py",
        "ctypes",
    ): "four functions of the C library, by names that stand there, on memory made there",
    ("src/durum/testing/conformance/contract.py", BY_NAME): "what a test of this kit says of itself",
    ("src/durum/testing/crash/boundaries.py", BY_NAME): "functions of os and of a store that are listed there",
    ("src/durum/testing/faulty.py", BY_NAME): "methods of the store it stands before, as the calling code names them",
    ("src/durum/workflow/code_digest.py", BY_NAME): "the module an author's own function was defined in, which is loaded",
    ("src/durum/workflow/conversion.py", BY_NAME): "two names that stand in the line itself",
    ("src/durum/workflow/json_form.py", BY_NAME): "fields of the author's own classes; the value is written, never called",
    (
        "src/durum/workflow/json_form.py",
        HOOK,
    ): "makes values of the types a step's own annotations name, never of a stored name",
    ("src/durum/workflow/models.py", "typing_extensions.get_type_hints"): "annotations of the author's own inputs",
    ("src/durum/workflow/signature.py", "typing.get_type_hints"): "annotations of the author's own function",
    ("tools/tasks.py", "importlib.util"): "looks whether the tools it needs are installed",
    ("tools/tasks.py", "os.execve"): "goes on as itself under the project's own Python",
}

PLANTED = [
    ("import pickle", "pickle"),
    ("import pickle as p\np.loads(b'')", "pickle.loads"),
    ("from pickle import loads", "pickle.loads"),
    ("import cloudpickle.cloudpickle", "cloudpickle.cloudpickle"),
    ("from marshal import loads as read\nread(data)", "marshal.loads"),
    ("import shelve", "shelve"),
    ("import dill", "dill"),
    ("import jsonpickle", "jsonpickle"),
    ("def lazily():\n    import runpy", "runpy"),
    ("from pkgutil import resolve_name", "pkgutil.resolve_name"),
    ("import ctypes.util", "ctypes.util"),
    ("import logging.config", "logging.config"),
    ("from logging import config", "logging.config"),
    ("eval('1')", "builtins.eval"),
    ("exec(body)", "builtins.exec"),
    ("run = eval", "builtins.eval"),
    ("compile(body, 'x', 'exec')", "builtins.compile"),
    ("list(map(eval, stored))", "builtins.eval"),
    ("import builtins as b\nb.exec(body)", "builtins.exec"),
    ("import builtins\ngetattr(builtins, 'eval')(text)", "builtins.eval"),
    ("import builtins\ngetattr(builtins, 'ev' + 'al')(text)", BY_NAME),
    ("def safe(run=eval):\n    return run", "builtins.eval"),
    ("module = __import__(name)", "builtins.__import__"),
    ("import importlib", "importlib"),
    ("from importlib import import_module as load\nload(op_id)", "importlib.import_module"),
    ("from importlib.metadata import entry_points", "importlib.metadata.entry_points"),
    ("import sys\nsys.modules[name].run()", BY_NAME),
    ("globals()[name]()", BY_NAME),
    ("vars(module)[name]()", BY_NAME),
    ("module.__dict__[name]()", BY_NAME),
    ("import sys as s\ns.modules.get(name)", BY_NAME),
    ("getattr(module, event['kind'])()", BY_NAME),
    ("from operator import methodcaller\nmethodcaller(kind)(thing)", BY_NAME),
    ("import os\nos.system(text)", "os.system"),
    ("from os import execvp", "os.execvp"),
    ("import os as o\no.popen(text)", "os.popen"),
    ("import subprocess\nsubprocess.run(text, shell=True)", SHELL),
    ("from subprocess import Popen as P\nP(text, shell=flag)", SHELL),
    ("from subprocess import getoutput", "subprocess.getoutput"),
    ("import asyncio\nasyncio.create_subprocess_shell(text)", "asyncio.create_subprocess_shell"),
    ("import yaml\nyaml.load(text)", "yaml.load"),
    ("import yaml\nyaml.load(text, Loader=yaml.FullLoader)", "yaml.load"),
    ("import yaml as y\ny.unsafe_load(text)", "yaml.unsafe_load"),
    ("from yaml import load_all\nload_all(text, Loader=None)", "yaml.load_all"),
    ("from types import FunctionType\nFunctionType(code, {})", "types.FunctionType"),
    ("import types as t\nt.CodeType(0)", "types.CodeType"),
    ("msgspec.json.decode(data, dec_hook=imported)", HOOK),
    ("from pydantic import ImportString", "pydantic.ImportString"),
    ("from typing import get_type_hints", "typing.get_type_hints"),
    ("import inspect\ninspect.signature(function, eval_str=True)", ANNOTATIONS),
    ("connection.load_extension(path)", EXTENSION),
    ("from os.path import *", STAR),
]

HARMLESS = [
    "from importlib.resources import files\nfiles('durum')",
    "from importlib import resources",
    "import importlib.metadata\nimportlib.metadata.version('durum')",
    "import re\nre.compile('x')",
    "io.exec(['git'])",
    "def flow(exec=()):\n    return tuple(exec)",
    "import subprocess\nsubprocess.run(['git'], shell=False)",
    "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)\nyaml.safe_load(text)",
    "from types import FunctionType\nisinstance(step, FunctionType)",
    "getattr(step, 'inline', False)",
    "import os\nos.path.exists('x')",
    "import sys\nsys.modules['durum']",
    "globals()[name] = value",
    "class Store:\n    def eval(self): ...\nStore().eval()",
]


def sources() -> dict[str, str]:
    """Return name -> text of everything that is scanned."""
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    return {file.relative_to(ROOT).as_posix(): file.read_text("utf-8") for file in files}


def test_nothing_stored_is_run_or_imported() -> None:
    """No pickle, no eval, no import by a name that came from a store, in the source and in what stands beside it."""
    found = [(name, finding) for name, text in sources().items() for finding in findings(text)]
    used = {(name, finding): reason_for(name, finding.what) for name, finding in found}
    assert [f"{name}:{finding.line}: {finding.what}" for (name, finding), reason in used.items() if reason is None] == []
    assert sorted(ALLOWED.keys() - set(used.values())) == []  # no reason is kept that is not needed


def reason_for(name: str, what: str) -> tuple[str, str] | None:
    """Return the entry that allows a finding, None if it is not allowed."""
    return next((entry for entry in ALLOWED if entry[0] == name and f"{what}.".startswith(f"{entry[1]}.")), None)


@pytest.mark.parametrize(("text", "what"), PLANTED, ids=range(len(PLANTED)))
def test_the_scan_finds(text: str, what: str) -> None:
    """Each way is seen, at any depth and under any name it is imported as."""
    assert what in {finding.what for finding in findings(text)}


@pytest.mark.parametrize("text", HARMLESS, ids=range(len(HARMLESS)))
def test_the_scan_lets_pass(text: str) -> None:
    """Package data, regular expressions, the exec transport and names that are written in the source are no danger."""
    assert findings(text) == []


# --- names in a store -----------------------------------------------------------------------------------------------------

LOOK = """
import json, sys
imported = []
sys.addaudithook(lambda event, args: imported.append(str(args[0])) if event == "import" else None)
import durum

with durum.open(sys.argv[1], create=False) as service:
    (run_id,) = sys.argv[2:]
    said = []
    for ask in (
        service.runs, lambda: service.show(run_id), lambda: service.states(run_id), lambda: service.events(run_id),
        lambda: service.facts(run_id), lambda: service.context(run_id), lambda: service.graph(run_id), service.gates,
        lambda: service.verify(run_id), lambda: service.replay(run_id), lambda: service.replay(run_id, "reproduce"),
        lambda: service.resume(run_id),
    ):
        try:
            ask()
        except durum.DurumError as error:
            said.append(error.code)
print(json.dumps({"imported": imported, "said": said}))
"""
MARK = "from pathlib import Path\nPath('imported').touch()\n"


def forged(folder: Path, name: str) -> None:
    """Make a sound store with a run whose workflow, states, namespaces, kinds and manifest name a module."""
    source = sqlite3.connect(f"file:{STORES / 'v1' / 'durum.db'}?mode=ro&immutable=1", uri=True)
    target = sqlite3.connect(folder / "durum.db")
    source.backup(target)
    source.close()

    def renamed(data: bytes, ids: dict[str, str]) -> bytes:
        for old, new in [('"cut"', f'"{name}"'), ('"cut.', f'"{name}.'), ('"http"', f'"{name}"'), *ids.items()]:
            data = data.replace(old.encode(), new.encode())
        return data

    (number,) = target.execute("SELECT run_no FROM runs WHERE run_id = ?", (CUT,)).fetchone()
    stem = number << SEQ_BITS
    bodies = [body for (body,) in target.execute("SELECT body FROM events WHERE position > ? ORDER BY position", (stem,))]
    found = {digest.hex(): data for digest, data in target.execute("SELECT digest, data FROM artifacts WHERE data NOT NULL")}
    ids: dict[str, str] = {}
    for _ in range(4):  # artifacts name one another
        ids |= {old: sha256(renamed(data, ids)).hexdigest() for old, data in found.items()}
    fresh = [(bytes.fromhex(ids[old]), "other", len(now), now) for old, data in found.items() if (now := renamed(data, ids))]
    target.executemany("INSERT OR IGNORE INTO artifacts (digest, kind, size, data) VALUES (?, ?, ?, ?)", fresh)
    kind = json.dumps({"body": {"import": name}, "epoch": 1, "kind": name, "seq": 6, "ts_millis": 1, "writer": "w"}).encode()
    rows = chained(genesis(CUT), [*[renamed(body, ids) for body in bodies], kind])
    target.execute("DELETE FROM events WHERE position > ?", (stem,))
    target.executemany("INSERT INTO events VALUES (?, ?, ?)", [(stem + row.seq, row.hash, row.body) for row in rows])
    target.execute("UPDATE runs SET head_seq = ?, head_hash = ? WHERE run_id = ?", (len(rows), rows[-1].hash, CUT))
    target.execute("DELETE FROM runs WHERE run_id <> ?", (CUT,))
    target.commit()
    target.close()


@pytest.mark.parametrize("name", ["planted", "antigravity", "planted:main", "os:system", "planted.py"])
def test_no_name_in_a_store_is_imported(name: str, tmp_path: Path) -> None:
    """A module of that name lies in the working directory, and nobody loads it: not to show, verify, replay or resume."""
    (tmp_path / "planted.py").write_text(MARK, encoding="utf-8")
    forged(tmp_path, name)
    url = f"sqlite:///{tmp_path / 'durum.db'}"
    done = subprocess.run(
        [sys.executable, "-c", LOOK, url, CUT], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [module for module in told["imported"] if module.startswith(("planted", "antigravity"))] == []
    assert not (tmp_path / "imported").exists()
    whole = name in {"planted", "antigravity"}  # the others are no names of workflows, and refused as damage
    assert told["said"] == (["invalid_target"] * 2 if whole else told["said"]) != []


@pytest.mark.parametrize("verb", ["show", "events", "verify", "replay", "resume"])
def test_the_command_line_imports_no_name_in_a_store(verb: str, tmp_path: Path) -> None:
    """Whoever wants code to run names it: without ``--with`` a resume ends with exit 2 and the command to type."""
    (tmp_path / "planted.py").write_text(MARK, encoding="utf-8")
    forged(tmp_path, "planted")
    command = [sys.executable, "-m", "durum", verb, CUT, "--store", f"sqlite:///{tmp_path / 'durum.db'}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (2 if verb == "resume" else 0, False), done.stderr
    assert verb != "resume" or "--with" in done.stderr
    assert not (tmp_path / "imported").exists()
