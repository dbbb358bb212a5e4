"""The context as one attempt sees it: reads fall through to the base snapshot, writes are staged until the attempt succeeds.

What code reads is always ``decode(canonical(value))`` and always a fresh copy, so neither mutating what was read nor what was
written changes anything, and a resumed run cannot differ from one that never crashed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import msgspec

from durum.core.canonical import canonical_json, canonical_parts, decode_json, digest_bytes
from durum.core.events import Write
from durum.core.ids import ContextKey
from durum.core.merges import APPEND, Merges
from durum.core.secrets import refuse_secrets
from durum.core.tree import INLINE_BYTES, TREE_BYTES, Tree, entry_of, map_row, reference
from durum.engine.merging import appended, edit_tree
from durum.engine.snapshots import Snapshots
from durum.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping

    from durum.core.canonical import JsonObject, JsonValue
    from durum.core.merges import Folding

_NULL = msgspec.Raw(b"null")
T = TypeVar("T")


class Staged(msgspec.Struct):
    """A change to one key that waits for the attempt's success.

    ``data`` is the canonical value, for "reduce" the contribution; for "append" there is a list for each time items were added.
    """

    op: str
    data: list[bytes]


class Committed(msgspec.Struct, frozen=True):
    """What a successful attempt leaves: the tree after it, its writes, and every artifact they need."""

    tree: Tree
    writes: Sequence[Write]
    artifacts: dict[str, bytes]


class ContextOverlay(msgspec.Struct, eq=False):
    """Implements ``DynContext`` over a base snapshot."""

    _snapshots: Snapshots
    _base: Tree
    _merges: Merges
    _staged: dict[str, Staged] = {}
    _reads: dict[str, bytes | None] = {}  # key -> entry read from the base, None if it was absent
    _item_reads: dict[str, bytes | None] = {}  # key -> the one item of it that was read
    __repr__ = object.__repr__  # not the whole context

    def read(self, key: str) -> JsonValue:
        """Return a fresh copy of the value, None if the key is absent; ``has`` tells an absent key from a null."""
        key = key if type(key) is str else _checked_key(key)
        staged = self._staged.get(key)
        if staged is not None and staged.op in {"set", "delete"}:
            return decode_json(staged.data[0])  # null for a deleted key
        entry = self._look(key)
        value = None if entry is None else self._value(entry)
        if staged is None:
            return value
        if staged.op == "reduce":
            return decode_json(canonical_json(self._folded(key, staged, value).value))
        if value is None or isinstance(value, list):
            return [*(value or ()), *_items(staged)]
        return value  # no list to add to; the attempt fails for it when it ends

    def _value(self, entry: bytes) -> JsonValue:
        data = self._snapshots.at_hand(entry)
        return at_once(self._snapshots.value(entry)) if data is None else decode_json(data)

    def item(self, key: str, index: int) -> JsonValue:
        """Return a fresh copy of one item of a list, or of one ``[key, value]`` of a map; only the item counts as read."""
        found = self._base.find(_checked_key(key))
        data = at_once(self._snapshots.items(map_row(found)[1]))[index] if found is not None else b"null"
        self._item_reads[key] = data if len(data) <= INLINE_BYTES else reference(digest_bytes(data))
        return decode_json(data)

    def has(self, key: str) -> bool:
        """Tell whether the key is there."""
        key = key if type(key) is str else _checked_key(key)
        staged = self._staged.get(key)
        return staged.op != "delete" if staged is not None else self._look(key) is not None

    def write(self, key: str, value: object) -> None:
        """Stage a value; it is fixed as canonical JSON now, later changes to the object count for nothing.

        Under a key with a reducer it is what this state contributes; writing again replaces it.
        """
        key = _checked_key(key)
        merge = self._merges.names.get(key)
        if merge == APPEND:
            message = f"context key {key!r} merges by appending; return or append only the new items"
            raise ConfigError(message)
        self._staged[key] = Staged("set" if merge is None else "reduce", [_checked(key, value)])

    def append(self, key: str, items: Sequence[object]) -> None:
        """Stage items to add to a key that merges by appending."""
        key = _checked_key(key)
        if self._merges.names.get(key) != APPEND:
            message = f"context key {key!r} does not merge by appending; declare merge='append' to add items to it"
            raise ConfigError(message)
        data = _checked(key, items)
        if data[:1] != b"[":
            message = f"context key {key!r} merges by appending; append a list of items, not {type(items).__name__}"
            raise ConfigError(message)
        self._staged.setdefault(key, Staged("append", [])).data.append(data)

    def delete(self, key: str) -> None:
        """Stage the removal of a key; what several states add to cannot be taken away by one of them."""
        key = _checked_key(key)
        merge = self._merges.names.get(key)
        if merge is not None:
            message = f"context key {key!r} merges by {'appending' if merge == APPEND else merge}; it cannot be deleted"
            raise ConfigError(message)
        self._staged[key] = Staged("delete", [b"null"])

    def dump(self) -> JsonObject:
        """Return the full context with the staged changes."""
        keys = {item.key for item in self._base.entries()} | self._staged.keys()
        return {key: self.read(key) for key in sorted(keys) if self.has(key)}

    def staged(self) -> Iterator[bytes]:
        """Yield every staged value, as canonical JSON of an object with its key."""
        for key, staged in self._staged.items():
            for data in staged.data:
                yield b"{%b:%b}" % (canonical_parts(key), data)

    @property
    def reads(self) -> Mapping[str, bytes | None]:
        """What was read from the base: key -> entry, None for an absent key that was asked for."""
        return {**self._item_reads, **self._reads} if self._item_reads else self._reads

    def _look(self, key: str) -> bytes | None:
        if key not in self._reads:
            item = self._base.find(_checked_text(key))
            self._reads[key] = None if item is None else map_row(item)[1]
        return self._reads[key]

    async def commit(self) -> Committed:
        """Return the base with the staged changes; the overlay must not be used afterwards."""
        artifacts: dict[str, bytes] = {}
        edits: dict[str, bytes | None] = {}
        writes = []
        for key, staged in sorted(self._staged.items()):
            if staged.op == "delete":
                edits[key] = None
                writes.append(Write(key, _NULL, "delete"))
                continue
            entry = _entry(staged, artifacts)
            writes.append(Write(key, msgspec.Raw(entry), staged.op))  # type: ignore[arg-type]
            edits[key] = entry if staged.op == "set" else await self._merged(key, staged, artifacts)
        tree = edit_tree(self._base, edits, artifacts)
        return Committed(tree, writes, artifacts)

    async def _merged(self, key: str, staged: Staged, artifacts: dict[str, bytes]) -> bytes:
        """Return the entry a key comes to by what was added or contributed."""
        if staged.op == "append":
            return await appended(self._snapshots, self._base, key, _items(staged), artifacts)
        found = self._base.find(key)
        before = None if found is None else await self._snapshots.value(map_row(found)[1])
        return self._folded(key, staged, before).entry(artifacts.__setitem__)

    def _folded(self, key: str, staged: Staged, before: JsonValue) -> Folding:
        folding = self._merges.folding(key, before)
        folding.add(decode_json(staged.data[0]))
        return folding


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


@lru_cache(maxsize=4096)
def _checked_text(key: str) -> str:
    return str(ContextKey(key))


def _checked_key(key: str) -> str:
    """Return a context key as plain text; ``InvalidIdError``. One that passed once is looked up."""
    return _checked_text(key) if type(key) is str else str(ContextKey(key))


def _entry(staged: Staged, artifacts: dict[str, bytes]) -> bytes:
    """Return the entry of what was staged; its artifacts go to ``artifacts``."""
    put = artifacts.__setitem__
    if len(staged.data) == 1:
        data = staged.data[0]
        return entry_of(decode_json(data) if len(data) > TREE_BYTES else None, put, data)
    return entry_of(_items(staged), put)


def _checked(key: str, value: object) -> bytes:
    data = canonical_json(value)
    refuse_secrets("the context", b"{%b:%b}" % (canonical_parts(key), data))
    return data


def _items(staged: Staged) -> list[JsonValue]:
    items: list[JsonValue] = []
    for data in staged.data:
        part = decode_json(data)
        assert isinstance(part, list)
        items += part
    return items
