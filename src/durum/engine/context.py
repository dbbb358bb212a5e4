"""The context as one attempt sees it: reads fall through to the base snapshot, writes are staged until the attempt succeeds.

What code reads is always ``decode(canonical(value))`` and always a fresh copy, so neither mutating what was read nor what was
written changes anything, and a resumed run cannot differ from one that never crashed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec

from durum.core.canonical import canonical_json, decode_json
from durum.core.events import Write
from durum.core.ids import ContextKey
from durum.core.secrets import refuse_secrets
from durum.core.tree import Item, Node, Tree, entry_of, list_item, map_item, map_row, reference
from durum.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from durum.core.canonical import JsonObject, JsonValue
    from durum.engine.snapshots import Snapshots

_NULL = msgspec.Raw(b"null")
T = TypeVar("T")


class Staged(msgspec.Struct):
    """A change to one key that waits for the attempt's success; ``data`` is the canonical value, or items for an append."""

    op: str
    entry: bytes | None
    data: bytes
    artifacts: dict[str, bytes]


class Committed(msgspec.Struct, frozen=True):
    """What a successful attempt leaves: the tree after it, its writes, and every artifact they need."""

    tree: Tree
    writes: Sequence[Write]
    artifacts: dict[str, bytes]


class ContextOverlay:
    """Implements ``DynContext`` over a base snapshot."""

    def __init__(self, snapshots: Snapshots, base: Tree, merges: Mapping[str, str]) -> None:
        self._snapshots = snapshots
        self._base = base
        self._merges = merges
        self._staged: dict[str, Staged] = {}
        self._reads: dict[str, bytes | None] = {}  # key -> entry read from the base, None if it was absent

    def read(self, key: str) -> JsonValue:
        """Return a fresh copy of the value, None if the key is absent; ``has`` tells an absent key from a null."""
        staged = self._staged.get(key)
        if staged is not None and staged.op != "append":
            return decode_json(staged.data)  # null for a deleted key
        entry = self._look(key)
        if entry is None and staged is None:
            return None
        value = [] if entry is None else at_once(self._snapshots.value(entry))
        if staged is not None and isinstance(value, list):
            added = decode_json(staged.data)
            assert isinstance(added, list)
            value += added
        return value

    def has(self, key: str) -> bool:
        """Tell whether the key is there."""
        staged = self._staged.get(key)
        return staged.op != "delete" if staged is not None else self._look(key) is not None

    def write(self, key: str, value: object) -> None:
        """Stage a value; it is fixed as canonical JSON now, later changes to the object count for nothing."""
        if self._merges.get(ContextKey(key)) == "append":
            message = f"context key {key!r} merges by appending; return or append only the new items"
            raise ConfigError(message)
        data = _checked(key, value)
        artifacts: dict[str, bytes] = {}
        entry = entry_of(value, artifacts.__setitem__, data)
        self._staged[key] = Staged("set", entry, data, artifacts)

    def append(self, key: str, items: Sequence[object]) -> None:
        """Stage items to add to a key that merges by appending."""
        if self._merges.get(ContextKey(key)) != "append":
            message = f"context key {key!r} declares no merge; declare merge='append' to add items to it"
            raise ConfigError(message)
        before = self._staged.get(key)
        fresh = list(items)
        if before is not None:
            earlier = decode_json(before.data)
            assert isinstance(earlier, list)
            fresh = [*earlier, *fresh]
        data = _checked(key, fresh)
        artifacts: dict[str, bytes] = {}
        entry = entry_of(fresh, artifacts.__setitem__, data)
        self._staged[key] = Staged("append", entry, data, artifacts)

    def delete(self, key: str) -> None:
        """Stage the removal of a key; a key that merges by appending only grows."""
        if self._merges.get(ContextKey(key)) == "append":
            message = f"context key {key!r} merges by appending; it cannot be deleted"
            raise ConfigError(message)
        self._staged[ContextKey(key)] = Staged("delete", None, b"null", {})

    def dump(self) -> JsonObject:
        """Return the full context with the staged changes."""
        keys = {item.key for item in self._base.entries()} | self._staged.keys()
        return {key: self.read(key) for key in sorted(keys) if self.has(key)}

    @property
    def reads(self) -> Mapping[str, bytes | None]:
        """What was read from the base: key -> entry, None for an absent key that was asked for."""
        return self._reads

    def _look(self, key: str) -> bytes | None:
        if key not in self._reads:
            item = self._base.find(ContextKey(key))
            self._reads[key] = None if item is None else map_row(item)[1]
        return self._reads[key]

    async def commit(self) -> Committed:
        """Return the base with the staged changes; the overlay must not be used afterwards."""
        artifacts: dict[str, bytes] = {}
        edits: dict[str, Item | None] = {}
        writes = []
        for key in sorted(self._staged):
            staged = self._staged[key]
            artifacts |= staged.artifacts
            writes.append(Write(str(key), _NULL if staged.entry is None else msgspec.Raw(staged.entry), staged.op))  # type: ignore[arg-type]
            if staged.entry is None:
                edits[key] = None
            elif staged.op == "append":
                entry = await appended(self._snapshots, self._base, key, decode_json(staged.data), artifacts)
                edits[key] = map_item(key, entry)
            else:
                edits[key] = map_item(key, staged.entry)
        tree = edit_tree(self._base, edits, artifacts)
        return Committed(tree, writes, artifacts)


def at_once(work: Coroutine[object, object, T]) -> T:
    """Return what a coroutine gives without waiting: the bytes of an attempt's base are at hand before it begins.

    SQLite and memory answer at once; a store across a network must have them fetched before.
    """
    try:
        work.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    work.close()
    message = "the store does not answer at once; its values must be fetched before the attempt"
    raise StorageError(message)


def _checked(key: str, value: object) -> bytes:
    data = canonical_json(value)
    refuse_secrets(f"context key {key!r}", data)
    return data


def edit_tree(base: Tree, edits: Mapping[str, Item | None], artifacts: dict[str, bytes]) -> Tree:
    """Return the snapshot tree with keys changed; the nodes made go to ``artifacts``."""
    if not edits:
        return base
    fresh: list[Node] = []
    tree = base.edit(edits, fresh)
    artifacts.update((node.id, node.data) for node in fresh)
    return tree


async def appended(snapshots: Snapshots, base: Tree, key: str, items: JsonValue, artifacts: dict[str, bytes]) -> bytes:
    """Return the entry of a list with items added; a list that is a tree already costs the items, not the list."""
    assert isinstance(items, list)
    found = base.find(key)
    before = None if found is None else map_row(found)[1]
    put: Callable[[str, bytes], None] = artifacts.__setitem__
    tree = None if before is None else await snapshots.list_tree(before)
    if tree is None:
        old = [] if before is None else await snapshots.value(before)
        if not isinstance(old, list):
            message = f"context key {key!r} merges by appending but holds no list"
            raise ConfigError(message)
        return entry_of([*old, *items], put)
    fresh: list[Node] = []
    longer = tree.extend([list_item(entry_of(item, put)) for item in items], fresh)
    for node in fresh:
        put(node.id, node.data)
    snapshots.remember(longer)
    return reference(longer.id)
