"""A run by what people have at hand: its id, or a unique beginning of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core.ids import RunId
from durum.errors import InvalidIdError, NotFoundError

if TYPE_CHECKING:
    from durum.ports import EventStore

_SHORTEST_PREFIX = 4
_LS_HINT = "list the runs of this store with: durum ls"


async def find_run(store: EventStore, typed: str) -> str:
    """Return a run's full id; a unique beginning of it will do.

    Raises:
        NotFoundError: no run begins so, or several do. A full id is returned unasked.
    """
    text = typed.lower()
    try:
        return str(RunId.parse(text))
    except InvalidIdError:
        if len(text) < _SHORTEST_PREFIX:
            hint = f"a beginning needs {_SHORTEST_PREFIX} characters or more; {_LS_HINT}"
            raise NotFoundError("run", typed, hint) from None
    matches = [head.run_id for head in await store.heads() if head.run_id.startswith(text)]
    if len(matches) > 1:
        raise NotFoundError("single run", typed, f"{len(matches)} runs begin so; type more of it")
    if not matches:
        raise NotFoundError("run", typed, _LS_HINT)
    return matches[0]
