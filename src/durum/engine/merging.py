"""Changes brought into a context: entries set, items appended, contributions reduced, in a row and at joins alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core.tree import Node, Tree, entry_of, list_item, map_row, reference
from durum.errors import MergeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from durum.core.canonical import JsonValue
    from durum.core.joins import Change
    from durum.core.merges import Merges
    from durum.engine.snapshots import Snapshots


async def changed(
    snapshots: Snapshots,
    base: Tree,
    change: Change,
    merges: Merges,
    artifacts: dict[str, bytes],
    recorded: str | None = None,
) -> bytes | None:
    """Return the entry of a key after a change, None if it is gone; what is made goes to ``artifacts``.

    ``recorded`` is the snapshot as it came out when it was recorded: it answers for a reducer whose code is not at hand.
    """
    match change.op:
        case "delete":
            return None
        case "append":
            items: list[JsonValue] = []
            for entry in change.entries:
                part = await snapshots.value(entry)
                assert isinstance(part, list)
                items += part
            return await appended(snapshots, base, change.key, items, artifacts)
        case "reduce":
            if recorded is not None and not merges.foldable(change.key):
                found = (await snapshots.tree(recorded)).find(change.key)
                return None if found is None else map_row(found)[1]
            return await _reduced(snapshots, base, change, merges, artifacts)
    return change.entries[0]


async def _reduced(snapshots: Snapshots, base: Tree, change: Change, merges: Merges, artifacts: dict[str, bytes]) -> bytes:
    """Return the entry of a value with contributions folded onto it; one of them is in memory at a time."""
    found = base.find(change.key)
    folding = merges.folding(change.key, None if found is None else await snapshots.value(map_row(found)[1]))
    for entry in change.entries:
        folding.add(await snapshots.value(entry))
    return folding.entry(artifacts.__setitem__)


async def appended(
    snapshots: Snapshots, base: Tree, key: str, items: Sequence[JsonValue], artifacts: dict[str, bytes]
) -> bytes:
    """Return the entry of a list with items added; a list that is a tree already costs the items, not the list."""
    found = base.find(key)
    before = None if found is None else map_row(found)[1]
    put: Callable[[str, bytes], None] = artifacts.__setitem__
    tree = None if before is None else await snapshots.list_tree(before)
    if tree is None:
        old = [] if before is None else await snapshots.value(before)
        if not isinstance(old, list):
            raise MergeError(key, "append", "it adds to a list, and the key holds none")
        return entry_of([*old, *items], put)
    fresh: list[Node] = []
    longer = tree.extend([list_item(entry_of(item, put)) for item in items], fresh)
    for node in fresh:
        put(node.id, node.data)
    snapshots.remember(longer)
    return reference(longer.id)


def edit_tree(base: Tree, edits: Mapping[str, bytes | None], artifacts: dict[str, bytes]) -> Tree:
    """Return the snapshot tree with keys changed; the nodes made go to ``artifacts``."""
    if not edits:
        return base
    fresh: list[Node] = []
    tree = base.edit(edits, fresh)
    for node in fresh:
        artifacts[node.id] = node.data
    return tree
