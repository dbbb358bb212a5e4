"""Make the project's environment for the Python that runs this, or find it ready; print its Python's path on stdout.

An environment is trusted only with a stamp, which is written last and names everything it was made from. One setup at a
time works on an environment: the lock is the kernel's, so it cannot outlive its holder. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
# The interpreter itself, also when this runs in somebody's virtual environment.
PYTHON = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
# Settings of the caller that would send packages elsewhere than into our environment.
STRAY = ("PIP_CONSTRAINT", "PIP_DRY_RUN", "PIP_PREFIX", "PIP_PYTHON", "PIP_ROOT", "PIP_TARGET", "PYTHONHOME", "PYTHONPATH")
LAST_WORDS = 25  # lines of a failed pip worth reading


class SetupError(Exception):
    """The environment could not be made; the text is for the person at the terminal."""


def main() -> int:
    """Print the path of a ready environment's Python."""
    try:
        print(ready_python())
    except SetupError as problem:
        say(f"setup failed: {problem}")
        return 1
    except OSError as problem:
        say(f"setup failed: {problem.strerror}: {problem.filename}")
        return 1
    return 0


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(f"durum: {text}", file=sys.stderr, flush=True)


def ready_python() -> Path:
    """Return the Python of the environment that matches this checkout and this interpreter, making it when there is none."""
    places = [folder / name() for folder in folders()]
    env = next((place for place in places if stamp(place) == wanted(place)), None)
    if env is None:
        env = next((place for place in places if usable(place.parent)), None)
        if env is None:
            raise SetupError(f"no place for an environment is writable: tried {', '.join(map(str, places))}")
        with locked(env) as lock:
            if stamp(env) != wanted(env):
                make(env, lock)
    return env / "bin" / "python"


def folders() -> Iterator[Path]:
    """Yield where environments may live: in the checkout, in the user's cache, in a temporary folder of their own."""
    yield ROOT / ".venvs"
    checkout = hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:8]
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path(home(), ".cache")).absolute() / "durum" / checkout
    own = Path(tempfile.gettempdir(), f"durum-{os.getuid()}")
    with contextlib.suppress(OSError):
        own.mkdir(mode=0o700, exist_ok=True)
        if stat.S_ISDIR(own.lstat().st_mode) and own.lstat().st_uid == os.getuid():  # nobody else laid it there
            yield own / checkout


def home() -> str:
    """Return the user's home, also when HOME is empty."""
    given = os.environ.get("HOME")
    if given:
        return given
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/nonexistent"


def usable(folder: Path) -> bool:
    """Make the folder if need be; true when this user can write in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def name() -> str:
    """Return the environment's name: one for each interpreter."""
    identity = hashlib.sha256(f"{PYTHON} {sys.version}".encode()).hexdigest()[:8]
    return f"py{sys.version_info.major}.{sys.version_info.minor}-{identity}"


def wanted(env: Path) -> dict[str, str]:
    """Return the stamp of an environment made from what is here now."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    built = {key: project.get(key) for key in ("build-system", "project")} | {"hatch": project["tool"].get("hatch")}
    return {
        "dependencies": digest(LOCK.read_bytes(), Path(__file__).read_bytes(), f"{PYTHON} {sys.version} {env}".encode()),
        "project": digest(json.dumps(built, sort_keys=True).encode(), os.fsencode(ROOT)),
    }


def digest(*parts: bytes) -> str:
    """Hash the parts, each set off from the next."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def stamp(env: Path) -> object:
    """Return what the environment was made from; None when it is absent, half made or has lost its interpreter."""
    try:
        return json.loads((env / "stamp.json").read_text("utf-8")) if (env / "bin" / "python").exists() else None
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def locked(env: Path) -> Iterator[int]:
    """Hold the environment's lock; other setups wait here."""
    with env.with_name(env.name + ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another setup of this environment is running; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def make(env: Path, lock: int) -> None:
    """Bring the environment to what is wanted and stamp it."""
    goal, before = wanted(env), stamp(env)
    (env / "stamp.json").unlink(missing_ok=True)
    if not (isinstance(before, dict) and before.get("dependencies") == goal["dependencies"]):
        say(f"setting up Python {platform.python_version()} in {env} (once; half a minute or so)")
        if env.exists():
            shutil.rmtree(env)
        create(env, lock)
        pip(env, lock, "install", "--require-hashes", "-r", str(LOCK))
    pip(env, lock, "install", "--no-index", "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    fresh = env / "stamp.json.new"
    fresh.write_text(json.dumps(goal), "utf-8")
    fresh.rename(env / "stamp.json")


def create(env: Path, lock: int) -> None:
    """Make an empty environment: with venv (never with ensurepip, which Debian leaves out), else by hand."""
    if run([str(PYTHON), "-I", "-m", "venv", "--without-pip", str(env)], lock).returncode != 0:
        packages = env / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        packages.mkdir(parents=True, exist_ok=True)
        (env / "bin").mkdir(exist_ok=True)
        for link in ("python", "python3"):
            (env / "bin" / link).unlink(missing_ok=True)
            (env / "bin" / link).symlink_to(PYTHON)
        settings = f"home = {PYTHON.parent}\ninclude-system-site-packages = false\nversion = {platform.python_version()}\n"
        (env / "pyvenv.cfg").write_text(settings, "utf-8")
    probe = "import sys; sys.exit(sys.prefix == sys.base_prefix)"
    if run([str(env / "bin" / "python"), "-I", "-c", probe], lock).returncode != 0:
        raise SetupError(f"{PYTHON} cannot make a virtual environment in {env}")


def pip(env: Path, lock: int, *args: str) -> None:
    """Run pip on the environment, whichever pip there is."""
    done = run([*pip_command(env, lock), *args], lock)
    if done.returncode != 0:
        sys.stderr.write("\n".join(done.stdout.splitlines()[-LAST_WORDS:]) + "\n")
        raise SetupError("pip could not install (its last words are above; it needs the package index, this once)")


def pip_command(env: Path, lock: int) -> list[str]:
    """Return the first pip that can work on the environment: the interpreter's, the caller's, ensurepip's."""
    inside = str(env / "bin" / "python")
    own = [inside, "-m", "pip"]
    for command in (own, *([outer, "-m", "pip", "--python", inside] for outer in (str(PYTHON), sys.executable))):
        if run([*command, "--version"], lock).returncode == 0:
            return command
    if run([inside, "-I", "-m", "ensurepip", "--upgrade"], lock).returncode == 0:
        return own
    raise SetupError(f"{PYTHON} has no pip (22.3 or newer); install it (on Debian and Ubuntu: apt-get install python3-pip)")


def run(command: list[str], lock: int) -> subprocess.CompletedProcess[str]:
    """Run to the end and keep what it says; the child holds the lock too, so that nobody starts over beside an orphan."""
    settings = {key: value for key, value in os.environ.items() if key not in STRAY}
    settings |= {"HOME": home(), "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_NO_INPUT": "1"}
    settings |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_PROGRESS_BAR": "off", "PIP_ROOT_USER_ACTION": "ignore"}
    return subprocess.run(
        command,
        env=settings,
        cwd=ROOT,
        pass_fds=(lock,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
