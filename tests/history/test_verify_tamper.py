"""Whatever is changed behind a store's back, ``verify`` finds it and says in which run and at which event."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import msgspec
import pytest

import durum
from durum.errors import DurumError, NotFoundError
from tests.history.tampered import Shelf
from tests.history.tampering import EDITS, drop, set_head, truncate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.history.tampered import Place
    from tests.history.tampering import Edit

SEED = os.environ.get("DURUM_TAMPER_SEED", "0")
TAMPERS = int(os.environ.get("DURUM_TAMPERS", "1000"))
TRUNCATIONS = max(1, TAMPERS // 10)
BATCHES = 10
NEIGHBOURS = 2
FLIPS = max(1, TAMPERS // 20)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Make the store that is changed, and restored after each change."""
    made = Shelf(tmp_path_factory.mktemp("tampered") / "store")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _sound(shelf: Shelf) -> Iterator[None]:
    """Begin and end every test with the store as it was made."""
    yield
    shelf.restore()


def changed(chance: random.Random, shelf: Shelf, edits: Sequence[Edit]) -> tuple[str, dict[str, Place]]:
    """Change the store until a reader of some run may see it; return how, and where each run it concerns is broken."""
    while True:
        edit = chance.choice(edits)
        edit(chance, shelf)
        expected = shelf.expected(shelf.look())
        if expected:
            return edit.__name__, expected
        shelf.restore()


def fault(shelf: Shelf, run_id: str, place: Place | None) -> str:
    """Return what is wrong with what verification says of a run; nothing, if it is as expected."""
    hidden = place is not None and place.hidden
    if not hidden or shelf.is_known(run_id):  # what is hidden may be found all the same; it must not be a crash
        msgspec.json.encode(bad := shelf.verified(run_id))
    if hidden:
        bad = shelf.verified(run_id, kept=True)
    if place is None:
        return "" if bad is None else f"{run_id} is intact, found was {bad}"
    if bad is None:
        return f"{run_id} is broken at {place}, nothing was found"
    named = bad.run_id == run_id and isinstance(bad.seq, int) and place.low <= bad.seq <= place.high
    return "" if named and bad.what and bad.reason else f"{run_id} is broken at {place}, found was {bad}"


def one_round(chance: random.Random, shelf: Shelf, edits: Sequence[Edit]) -> list[str]:
    """Change the store once, verify what it concerns and some neighbours, and return what was not as expected."""
    how, expected = changed(chance, shelf, edits)
    untouched = [run_id for run_id in shelf.run_ids if run_id not in expected]
    neighbours = chance.sample(untouched, min(NEIGHBOURS, len(untouched)))
    faults = [fault(shelf, run_id, expected.get(run_id)) for run_id in (*expected, *neighbours)]
    shelf.restore()
    return [f"{how}: {said}" for said in faults if said]


def test_the_store_is_sound_and_of_many_shapes(shelf: Shelf) -> None:
    """Before anything is changed every run is intact, against its own head too; there are rows, files and a dozen runs."""
    assert len(shelf.run_ids) >= 10
    for run_id in shelf.run_ids:
        assert shelf.verified(run_id) is None
        assert shelf.verified(run_id, kept=True) is None
    statuses = {shelf.service.show(run_id)["status"] for run_id in shelf.run_ids}
    assert {"completed", "failed", "cancelled", "paused", "interrupted"} <= statuses
    assert len(shelf.filed()) >= 2
    assert shelf.expected(shelf.look()) == {}


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_edit_is_found(batch: int, shelf: Shelf) -> None:
    """A thousand changes by chance: each concerned run is broken at the event it is broken at, the others are intact.

    ``DURUM_TAMPERS`` asks for more of them, ``DURUM_TAMPER_SEED`` for others.
    """
    chance = random.Random(f"{SEED}/{batch}")
    faults = [said for _ in range(max(1, TAMPERS // BATCHES)) for said in one_round(chance, shelf, EDITS)]
    assert faults == [], f"DURUM_TAMPER_SEED={SEED}, batch {batch}"


@pytest.mark.parametrize("batch", range(2))
def test_every_truncation_is_found_by_a_head_someone_kept(batch: int, shelf: Shelf) -> None:
    """A log that was cut, its head with it, is as sound as it was when it was that short: only a later head tells."""
    chance = random.Random(f"{SEED}/truncation/{batch}")
    faults = [said for _ in range(max(1, TRUNCATIONS // 2)) for said in one_round(chance, shelf, [truncate])]
    assert faults == [], f"DURUM_TAMPER_SEED={SEED}, batch {batch}"


def test_every_way_to_change_a_store_does_change_it(shelf: Shelf) -> None:
    """Each edit of the list is one that a reader may see, soon."""
    for edit in {*EDITS, truncate}:
        how, expected = changed(random.Random(SEED), shelf, [edit])
        assert (how, bool(expected)) == (edit.__name__, True)
        shelf.restore()


def test_every_artifact_counts(shelf: Shelf) -> None:
    """There is none in the store of a few runs whose loss would go unnoticed by a run that names it."""
    for artifact_id in shelf.first:
        shelf.sql.execute("DELETE FROM artifacts WHERE digest = ?", (bytes.fromhex(artifact_id),))
        expected = shelf.expected(shelf.look())
        assert expected, artifact_id
        assert [said for run_id, place in expected.items() if (said := fault(shelf, run_id, place))] == []
        shelf.restore()


@pytest.mark.parametrize("batch", range(2))
def test_a_flipped_bit_anywhere_in_the_file_is_an_answer_too(batch: int, shelf: Shelf, tmp_path: Path) -> None:
    """In a header, an index or free space: a run is intact to the last byte, broken, not there, or the file is refused."""
    chance = random.Random(f"{SEED}/file/{batch}")
    sound = shelf.path.with_name("sound.db").read_bytes()
    (tmp_path / "durum.db.artifacts").symlink_to(shelf.files)
    answers: set[str] = set()
    for _ in range(FLIPS):
        data = bytearray(sound)
        place = chance.choice([chance.randrange(len(data)), chance.randrange(200)])
        data[place] ^= 1 << chance.randrange(8)
        for left in tmp_path.glob("durum.db*[lm]"):
            left.unlink()
        (tmp_path / "durum.db").write_bytes(data)
        answers |= answered(shelf, tmp_path / "durum.db", chance.sample(shelf.run_ids, 2))
    assert {"intact", "broken"} <= answers


def answered(shelf: Shelf, path: Path, run_ids: Sequence[str]) -> set[str]:
    """Return what verification comes to for some runs of a file; one that is intact is what it was."""
    answers = set()
    for run_id in run_ids:
        try:
            with durum.open(f"sqlite:///{path}", create=False) as service:
                bad = service.verify(run_id).first_bad
                if bad is None:
                    assert service.show(run_id)["head_hash"] == shelf.sound.runs[run_id].head_hash.hex()
        except DurumError as error:
            answers.add(error.code)
        else:
            answers.add("intact" if bad is None else "broken")
    return answers


def test_what_is_no_part_of_the_record_is_not_called_damage(shelf: Shelf) -> None:
    """Who owns a run now, an artifact's kind and a blob kept as text change nothing of what a run's record says."""
    run_id = shelf.run_ids[0]
    set_head(shelf, run_id, owner="somebody", epoch=shelf.sound.runs[run_id].epoch + 3)
    shelf.sql.execute("UPDATE artifacts SET kind = 'output'")
    shelf.sql.execute("UPDATE events SET body = CAST(body AS TEXT)")
    assert [found for run_id in shelf.run_ids if (found := shelf.verified(run_id)) is not None] == []


def test_a_run_that_is_gone_as_a_whole_is_missed_by_whoever_kept_its_id(shelf: Shelf) -> None:
    """Without its row there is no such run; under another name it is not the run it says it is; the others are intact."""
    run_id, *others = shelf.run_ids
    shelf.sql.execute("UPDATE runs SET run_id = ? WHERE run_id = ?", (run_id[:-4] + "ffff", run_id))
    assert not shelf.is_known(run_id)
    bad = shelf.service.verify(run_id[:-4] + "ffff").first_bad
    assert bad is not None
    assert bad.seq == 1
    shelf.restore()
    shelf.sql.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))
    assert not shelf.is_known(run_id)
    assert [found for other in others if (found := shelf.verified(other)) is not None] == []
    shelf.restore()
    drop(shelf, run_id, 1)
    set_head(shelf, run_id, head_seq=0)
    with pytest.raises(NotFoundError):
        shelf.verified(run_id)
    emptied = shelf.verified(run_id, kept=True)
    assert emptied is not None
    assert (emptied.run_id, emptied.seq, emptied.what) == (run_id, 1, "head")
