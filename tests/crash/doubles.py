"""What processes of the crash tests are made of: ``python -m tests.crash.doubles NAME``; most of it is broken on purpose."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from durum.core.state import Happened, UnknownEffect
from durum.engine.attempts import Attempts, Begun
from durum.engine.boundaries import Boundaries
from durum.engine.effects import Effects
from durum.stores.sqlite import SqliteStore
from durum.testing.crash import Harness, serve
from tests.workflows import forty, rich
from tests.workflows.journal import lines_of, short_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from durum.app import service
    from durum.engine.engine import Store
    from durum.ports import Artifact, StoredEvent


class SameEntropy:
    """Implements ``Entropy``: the same in every process."""

    def random_bytes(self, n: int) -> bytes:
        """Return ``n`` bytes that depend on ``n`` only."""
        return hashlib.shake_128(str(n).encode()).digest(n)

    def uniform(self) -> float:
        """Return the middle."""
        return 0.5


class ReceiversKnow(Harness):
    """Whole: the receivers' journal tells what became of effects, and at the end holds a line of each."""

    knows_effects: ClassVar[bool] = True
    effects: ClassVar[Sequence[str]] = forty.EFFECTS

    def entropy(self) -> SameEntropy:
        """Make runs comparable."""
        return SameEntropy()

    def witness(self, effect: UnknownEffect) -> Happened | bool | None:
        """Look at the journal."""
        journal = dict(lines_of(Path()))
        key = short_key(effect.key)
        return Happened(journal[key]) if key in journal else False

    def check(self, service: service.Durum, run_id: str) -> Iterator[str]:
        """Find effects that were not done exactly once."""
        del service, run_id
        done = Counter(key for key, _ in lines_of(Path()))
        yield from (f"{key} was done {done[key]} times" for key in sorted({*done, *self.effects}) if done[key] != 1)


class RichReceiversKnow(ReceiversKnow):
    """Whole: as above, for the workflow with a little of everything, which writes a file besides."""

    knows_effects: ClassVar[bool] = False
    effects: ClassVar[Sequence[str]] = rich.EFFECTS

    def check(self, service: service.Durum, run_id: str) -> Iterator[str]:
        """Look at the file too."""
        yield from super().check(service, run_id)
        if Path("page").read_text(encoding="utf-8") != "said\n":
            yield "the page is not as it was written"


class Liar(ReceiversKnow):
    """Broken: whoever is asked says that nothing happened, whatever the journal says."""

    def witness(self, effect: UnknownEffect) -> Happened | bool | None:
        """Lie."""
        return super().witness(effect) and False


class Forgetful(ReceiversKnow):
    """Broken: its store acknowledges an intent it has not written."""

    def open_store(self, url: str, *, create: bool) -> Store:
        """Open the broken store."""
        return ForgetfulStore(Path(url.removeprefix("sqlite:///")), create=create)


class ForgetfulStore(SqliteStore):
    """A broken double: acknowledges an intent before it is durable, and writes it only with the effect's outcome."""

    def __init__(self, path: Path, *, create: bool) -> None:
        super().__init__(path, create=create)
        self._late: list[tuple[str, int, int, Sequence[StoredEvent], Sequence[str]]] = []
        self._intended: set[str] = set()

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
        *,
        sync: bool = True,
    ) -> int:
        """Hold events back while an effect is under way."""
        del sync
        for artifact in artifacts:
            await self.put(artifact)
        self._late.append((run_id, expected_seq, epoch, events, consumed))
        for body in (json.loads(event.body) for event in events):
            if body["kind"] == "effect.intended":
                self._intended.add(body["body"]["key"])
            elif body["kind"] == "fact.recorded":
                self._intended.discard(body["body"]["key"])
        while self._late and not self._intended:
            identity, seq, held_epoch, held, letters = self._late.pop(0)
            await super().append(identity, seq, held_epoch, held, (), letters)
        return expected_seq + len(events)


class Amnesiac(Harness):
    """Broken: as ``Forgetful``, where no receiver tells anything."""

    open_store = Forgetful.open_store


class Early(Harness):
    """Broken: its store acknowledges an append before it is durable."""

    def open_store(self, url: str, *, create: bool) -> Store:
        """Open the broken store."""
        return EarlyStore(Path(url.removeprefix("sqlite:///")), create=create)


class EarlyStore(SqliteStore):
    """A broken double: writes an append when the next one comes, or the run is given up."""

    _late: tuple[str, int, int, Sequence[StoredEvent], Sequence[str]] | None = None

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
        *,
        sync: bool = True,
    ) -> int:
        """Keep the last one for later."""
        del sync
        for artifact in artifacts:
            await self.put(artifact)
        await self._write_late()
        self._late = (run_id, expected_seq, epoch, events, consumed)
        return expected_seq + len(events)

    async def _write_late(self) -> None:
        late, self._late = self._late, None
        if late is not None:
            run_id, seq, epoch, events, consumed = late
            await super().append(run_id, seq, epoch, events, (), consumed)

    async def release(self, run_id: str, epoch: int, *, wake_ms: int | None = None) -> None:
        """Write what is left."""
        await self._write_late()
        await super().release(run_id, epoch, wake_ms=wake_ms)


class Hasty(Harness):
    """Broken: its driver ends a run with the snapshot of whichever state finished last in this process."""

    def prepare(self) -> None:
        """Put the broken driver in place."""
        finish, final = Attempts._finish, Boundaries.final
        last: list[int] = []

        def noted(attempts: Attempts, begun: Begun, *given: Any) -> None:
            finish(attempts, begun, *given)
            last.append(begun.position)

        async def hasty(boundaries: Boundaries, *given: Any) -> Any:
            identity = boundaries._state.states[last[-1]].snapshot_id if last else None
            return await final(boundaries, *given) if identity is None else (await boundaries._snapshots.tree(identity), None)

        Attempts._finish = noted  # type: ignore[assignment, method-assign]
        Boundaries.final = hasty  # type: ignore[assignment, method-assign]


class Blind(Harness):
    """Broken: its engine repeats an effect whose outcome it does not know."""

    def prepare(self) -> None:
        """Put the broken engine in place."""

        async def blindly(*_: object) -> None:
            """Ask nobody."""

        Effects._reconcile = blindly  # type: ignore[assignment, method-assign]


HARNESSES: dict[str, Callable[[], Harness]] = {
    "forty": ReceiversKnow,
    "rich": RichReceiversKnow,
    "liar": Liar,
    "forgetful": Forgetful,
    "amnesiac": Amnesiac,
    "early": Early,
    "hasty": Hasty,
    "blind": Blind,
}

if __name__ == "__main__":
    serve(HARNESSES[sys.argv[1]]())
