"""Every row of the table runs at its smallest, and the command that runs them all says what came of each."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.__main__ import PEERS, ROWS
from bench.figures import from_json
from tools.project import ROOT

OURS = [row for row in ROWS if not row.endswith(PEERS)]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the measurements."""
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("row", OURS)
def test_a_row_runs_at_its_smallest(row: str) -> None:
    """It prints figures, each with a value, and judges none of them."""
    done = run(f"bench.{row}", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    figures = from_json(done.stdout)
    assert figures
    assert all(figure.bounds is None for figure in figures)
    if row != "startup":  # a difference, of one round: on a machine that is busy it may be anything
        assert all(figure.value.median > 0 for figure in figures)


def test_every_row_has_a_script_and_every_peer_row_its_peer() -> None:
    """The names in the list are those of the files."""
    assert all((ROOT / "bench" / f"{row}.py").is_file() for row in ROWS)
    ours = {tuple(row.rsplit("_", 1)) for row in ROWS if row.endswith(PEERS)}
    assert ours == {(what, peer) for what in ("chain", "many", "fan_out") for peer in PEERS}
    assert all((ROOT / "bench" / "peers" / f"{peer}_{what}.py").is_file() for what, peer in ours)


def test_one_command_runs_rows_and_refuses_what_is_none() -> None:
    """Figures follow the row's name; a quick run writes nothing."""
    page = (ROOT / "bench" / "README.md").read_bytes()
    done = run("bench", "--quick", "startup")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("== startup\nabove bare Python: import durum: ")
    refused = run("bench", "chains")
    assert refused.returncode == 2
    assert "'chains' is no row; there are chain," in refused.stderr
    assert (ROOT / "bench" / "README.md").read_bytes() == page
