"""Syncing a file while the process goes on: it ends, it fails, and where it cannot be done that is said at once."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from durum.stores import log_sync
from durum.stores.log_sync import LogSync

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every commit waits")
FORKED = """
import os, sys
from pathlib import Path
from durum.stores.log_sync import LogSync
sync = LogSync(Path(sys.argv[1]))
sync.begin()
sync.wait()
child = os.fork()
if not child:
    try:
        LogSync(Path(sys.argv[1]))
    except OSError:
        os._exit(0)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Give a file."""
    path = tmp_path / "log"
    path.write_bytes(b"written")
    return path


def test_a_sync_is_under_way_until_it_is_waited_for(log: Path) -> None:
    """Again and again; waiting for none is no work."""
    sync = LogSync(log)
    sync.wait()
    for _ in range(100):
        sync.begin()
        assert sync.under_way
        sync.wait()
        assert not sync.under_way
    sync.close()


def test_a_sync_that_failed_says_so_whenever_it_is_waited_for(log: Path) -> None:
    """Though the one behind it succeeds, and to whoever begins more; the file's descriptor was taken away for a while."""
    sync = LogSync(log)
    saved = os.dup(sync._descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), sync._descriptor)  # a device cannot be synced
    sync.begin()
    while sync._error(sync._begun[0].buffer) == errno.EINPROGRESS:
        pass
    os.dup2(saved, sync._descriptor)
    for _ in range(log_sync._MOST_AT_ONCE - 1):
        sync.begin()
    for ask in (sync.wait, sync.begin, sync.wait):
        with pytest.raises(OSError, match="Invalid argument"):
            ask()
        assert sync.under_way
    sync.close()
    assert not sync.under_way


def test_a_few_syncs_may_be_under_way(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more waits for the first of them; whoever waits, waits for each. The C library's part is taken by one that waits."""
    sync, said = LogSync(log), list[str]()
    under_way: set[int] = set()

    def start(_: int, request: Any) -> int:
        said.append("begun")
        under_way.add(ctypes.addressof(request))
        return 0

    def suspend(requests: Any, *_: object) -> None:
        said.append("waited")
        under_way.remove(requests[0])

    monkeypatch.setattr(sync, "_start", start)
    monkeypatch.setattr(sync, "_error", lambda request: errno.EINPROGRESS * (ctypes.addressof(request) in under_way))
    monkeypatch.setattr(sync, "_return", lambda _: 0)
    monkeypatch.setattr(sync, "_suspend", suspend)
    for _ in range(5):
        sync.begin()
    sync.wait()
    assert said == ["begun"] * 4 + ["waited", "begun"] + ["waited"] * 4
    assert not sync.under_way
    sync.close()


def test_a_sync_under_way_is_waited_for_before_its_file_is_let_go(log: Path) -> None:
    """Its descriptor may be another file's a moment later."""
    sync = LogSync(log)
    sync.begin()
    sync.close()
    assert not sync.under_way
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(sync._descriptor)


def test_what_a_sync_was_asked_with_is_kept_until_it_is_over(log: Path) -> None:
    """The C library writes into it, whoever has forgotten it meanwhile."""
    sync = LogSync(log)
    sync.begin()
    kept = weakref.ref(sync)
    del sync
    gc.collect()
    again = kept()
    assert again is not None
    again.close()
    del again
    gc.collect()
    assert kept() is None


def test_all_that_are_under_way_are_waited_for_before_their_file_is_let_go(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those behind one that failed; and before the interpreter ends, which frees what the C library writes into."""
    sync = LogSync(log)
    asked = list[int]()
    monkeypatch.setattr(sync, "_start", lambda *_: 0)
    monkeypatch.setattr(sync, "_error", lambda request: errno.EIO if ctypes.addressof(request) in asked else errno.EINPROGRESS)
    monkeypatch.setattr(sync, "_suspend", lambda requests, *_: asked.append(requests[0]))
    for _ in range(3):
        sync.begin()
    log_sync._wait_for_all()
    assert len(set(asked)) == 3
    assert sync.under_way
    asked.clear()
    sync.close()
    assert len(set(asked)) == 3
    assert not sync.under_way


def test_without_a_thread_the_sync_is_done_at_once(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The C library may find none to be had; whoever begins waits then."""
    synced: list[int] = []
    sync = LogSync(log)
    monkeypatch.setattr(sync, "_start", lambda *_: -1)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    sync.begin()
    assert (synced, sync.under_way) == ([sync._descriptor], False)
    sync.wait()
    sync.close()


def test_where_it_cannot_be_done_that_is_said(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is not there, and a system that is not known."""
    with pytest.raises(FileNotFoundError):
        LogSync(log.with_name("nothing"))
    monkeypatch.setattr(log_sync, "_KNOWN", False)
    with pytest.raises(OSError, match="not implemented"):
        LogSync(log)


def test_a_forked_child_does_not_wait_for_a_thread_it_has_not(log: Path) -> None:
    """What its parent began a sync with is not there: it is told that it cannot."""
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, str(log)], check=True, timeout=30)
