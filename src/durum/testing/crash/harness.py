"""What the processes of a crash test are made of; a test of one's own changes it by a subclass."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from durum.app.wiring import open_store
from durum.engine.system import SystemEntropy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from durum.app.service import Durum
    from durum.core.state import Happened, UnknownEffect
    from durum.engine.engine import Store
    from durum.ports import Entropy


class Harness:
    """The real thing: whatever a process of a crash test is made of.

    A subclass puts other things in its place. A module of one's own that ends in

        if __name__ == "__main__":
            serve(MyHarness())

    is handed to ``crash_test(..., harness=["my_module"])``. The methods are called in processes that may be killed; the working
    directory is the one the steps work in.
    """

    knows_effects: ClassVar[bool] = False
    """Whether ``witness`` can tell what became of any effect; then processes are killed in the middle of effects too."""

    def prepare(self) -> None:
        """Set up a process before anything is loaded or opened in it: the place for fake receivers and faulty doubles."""

    def open_store(self, url: str, *, create: bool) -> Store:
        """Return the store a run is driven on."""
        return open_store(url, create=create)

    def entropy(self) -> Entropy:
        """Return the randomness; one that is the same in every process makes runs comparable."""
        return SystemEntropy()

    def witness(self, effect: UnknownEffect) -> Happened | bool | None:
        """Return what became of an effect that the journal of effects cannot tell of; None if nobody can."""
        del effect
        return None

    def check(self, service: Durum, run_id: str) -> Iterable[str]:
        """Return what else is wrong once a run is over, in sentences."""
        del service, run_id
        return ()
