"""Workers, a store, a clock and people in one thread, from a seed: whatever goes wrong, what was promised holds.

``DURUM_SIM_SEEDS=100000`` lives through more worlds; ``DURUM_SIM_FIRST=N DURUM_SIM_SEEDS=1`` through one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256

import pytest

from tests.simulation.planted import PLANTED
from tests.simulation.simulation import Lived, simulate
from tools.project import ROOT

FIRST = int(os.environ.get("DURUM_SIM_FIRST", "0"))
SEEDS = int(os.environ.get("DURUM_SIM_SEEDS", "1000"))
CHUNK = 25
COMPARED = 12
TROUBLES = {
    "processes die": " dies",
    "processes hang": " hangs for",
    "a worker that hung is refused": "says lost",
    "acknowledgements are lost": "done, the answer is lost",
    "the store is away for a call": "not done, the store is away",
    "the store is away for a while": "the store is away for",
    "workers are asked to leave": "is asked to leave",
    "workers leave": " ends",
    "an effect is done again where it may be": "'again': True",
    "a step looks whether its effect happened": "'ask': 'the journal'",
    "the outside cannot be reached": "the outside is not reached",
    "a question is opened": "gate.opened",
    "an answer is accepted": "sends answer to",
    "a message comes twice": ": known",
    "the clock is set back": "the clock is set to -",
    "runs are paused": "run.paused",
    "runs are resumed": "run.resumed",
    "runs are cancelled": "cancel.requested",
    "child runs end": "child.completed",
}


def report(seed: int, lived: Lived) -> str:
    """Return what was found in a world, all that happened in it, and how to live through it again."""
    found = "\n".join(f"- {finding}" for finding in lived.findings)
    again = f"DURUM_SIM_FIRST={seed} DURUM_SIM_SEEDS=1 python -m pytest tests/simulation/test_simulation.py -k worlds"
    return f"in the world of seed {seed}:\n{found}\n\n{lived.trace}\nlive through it again with:\n{again}"


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, CHUNK))
def test_in_all_worlds_what_was_promised_holds(first: int) -> None:
    """For every seed: the log, the journal outside and what every run came to are as if nothing had gone wrong."""
    for seed in range(first, min(first + CHUNK, FIRST + SEEDS)):
        lived = simulate(seed)
        assert lived.findings == [], report(seed, lived)


def test_things_do_go_wrong() -> None:
    """Worlds in which nothing happens would prove nothing: in the first few hundred everything does that can."""
    missing = dict(TROUBLES)
    for seed in range(300):
        trace = simulate(seed).trace
        missing = {name: words for name, words in missing.items() if words not in trace}
        if not missing:
            return
    assert missing == {}


def test_the_same_seed_gives_the_same_trace() -> None:
    """Byte for byte, twice in this process and in others whose sets and maps of texts have another order."""
    here = [digest_of(seed) for seed in range(COMPARED)]
    assert [digest_of(seed) for seed in range(COMPARED)] == here
    assert len(set(here)) == COMPARED
    for hash_seed in ("0", "4711"):
        assert digests_elsewhere(hash_seed) == here


def digest_of(seed: int) -> str:
    """Return the digest of a world's trace."""
    return sha256(simulate(seed).trace.encode()).hexdigest()


def digests_elsewhere(hash_seed: str) -> list[str]:
    """Return the digests of the first traces as a process of its own sees them."""
    code = "from tests.simulation.test_simulation import *; print(*(digest_of(seed) for seed in range(COMPARED)))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_finding_comes_with_the_trace_and_the_command_that_reruns_its_seed() -> None:
    """Whoever reads the failure needs nothing else."""
    lived = simulate(0, PLANTED["11 adoption without bumping the epoch"].doubles)
    said = report(0, lived)
    assert lived.findings
    assert lived.findings[0] in said
    assert lived.trace in said
    assert "DURUM_SIM_FIRST=0 DURUM_SIM_SEEDS=1" in said
