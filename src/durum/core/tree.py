"""Snapshots as multi-level Merkle trees: equal content gives an equal id, and a change writes only what changed.

Format (docs/decisions/0003). An *entry* stands for a value: ``[v]`` holds it inline when its canonical JSON is at most
INLINE_BYTES, otherwise it is the id of an artifact. A list or map of more than TREE_BYTES is a tree of nodes, any other large
value its canonical JSON. A node is ``NODE_PREFIX`` plus canonical JSON of one of

    {"m": [[key, entry], ...]}            map leaf, sorted by key
    {"M": [[last key, node id], ...]}     map, one level up
    {"l": [entry, ...]}                   list leaf
    {"L": [node id, ...]}                 list, one level up

No JSON text begins with NODE_PREFIX, so no user value can pass for a node. A level is cut into nodes after an item whose own
hash says so (one in eight), never before MIN_FANOUT items and always at MAX_FANOUT: where a node ends depends on the items
since the last cut only, so an edit moves few cuts, and a tree built by edits equals one built from scratch.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from durum.core.canonical import canonical_json, decode_json
from durum.errors import CorruptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from durum.core.canonical import JsonValue

NODE_PREFIX = b"durum-node/1\n"
INLINE_BYTES = 128
TREE_BYTES = 1024
MIN_FANOUT = 4
MAX_FANOUT = 64
_CUT_MASK = 7


class Item(msgspec.Struct, frozen=True, gc=False):
    """One item of a node: the text that stands in it, and whether a node may end after it."""

    text: bytes  # canonical JSON fragment
    cut: bool
    key: str = ""  # maps only; the last key below, one level up


class Node(msgspec.Struct, frozen=True, gc=False):
    """A run of items of one level. ``id`` is the hash of its bytes."""

    items: tuple[Item, ...]
    id: str
    data: bytes
    keys: tuple[str, ...] = ()  # of the items of a map, to find one by; the last is the largest at or below this node

    @property
    def last_key(self) -> str:
        """The largest key at or below this node."""
        return self.keys[-1] if self.keys else ""


_LEAF = {True: b'{"m":[', False: b'{"l":['}
_INNER = {True: b'{"M":[', False: b'{"L":['}


_text = msgspec.json.Encoder().encode  # of a key; for text that is what RFC 8785 asks for


def map_item(key: str, entry: bytes, level: int = 0) -> Item:
    """Return the map item of a key; where maps are cut depends on keys alone, so changing a value moves no cut."""
    digest = sha256(b"%d:" % level + key.encode()).digest()
    return Item(b"[" + _text(key) + b"," + entry + b"]", digest[0] & _CUT_MASK == 0, key)


def list_item(entry: bytes, level: int = 0) -> Item:
    """Return the list item of an entry."""
    return Item(entry, sha256(b"%d:" % level + entry).digest()[0] & _CUT_MASK == 0)


def _make_node(items: Sequence[Item], *, keyed: bool, level: int) -> Node:
    return _node_of(tuple(items), tuple([item.key for item in items]) if keyed else (), keyed=keyed, level=level)


def _node_of(items: tuple[Item, ...], keys: tuple[str, ...], *, keyed: bool, level: int) -> Node:
    head = (_INNER if level else _LEAF)[keyed]
    data = NODE_PREFIX + head + b",".join([item.text for item in items]) + b"]}"
    return Node(items, sha256(data).hexdigest(), data, keys)


def _split(items: Iterable[Item]) -> tuple[list[list[Item]], list[Item]]:
    """Return the runs of items that are cut, and the open run behind the last cut."""
    closed: list[list[Item]] = []
    run: list[Item] = []
    for item in items:
        run.append(item)
        if len(run) >= MAX_FANOUT or (item.cut and len(run) >= MIN_FANOUT):
            closed.append(run)
            run = []
    return closed, run


def _cut(items: Iterable[Item], *, keyed: bool, level: int) -> tuple[Node, ...]:
    closed, run = _split(items)
    if run:
        closed.append(run)
    return tuple([_make_node(items, keyed=keyed, level=level) for items in closed])


def _parent_item(node: Node, *, keyed: bool, level: int) -> Item:
    entry = reference(node.id)
    return map_item(node.last_key, entry, level) if keyed else list_item(entry, level)


class Tree(msgspec.Struct, frozen=True, gc=False):
    """A list or map cut into nodes, level by level; level 0 holds the leaves, the last level one node, the root."""

    keyed: bool
    levels: tuple[tuple[Node, ...], ...]

    @property
    def id(self) -> str:
        """The id of the root: the id of the content."""
        return self.levels[-1][0].id

    @classmethod
    def build(cls, items: Iterable[Item], *, keyed: bool) -> Tree:
        """Cut items (sorted by key, for a map) into a tree."""
        leaves = _cut(items, keyed=keyed, level=0) or (_make_node((), keyed=keyed, level=0),)
        return cls(keyed, (leaves, *_upper_levels(leaves, keyed=keyed, level=1)))

    def nodes(self) -> Iterator[Node]:
        """Yield every node."""
        for level in self.levels:
            yield from level

    def entries(self) -> Iterator[Item]:
        """Yield the items of the leaves in order."""
        for node in self.levels[0]:
            yield from node.items

    def find(self, key: str) -> Item | None:
        """Return the item of a key, None if the map has no such key."""
        leaves = self.levels[0]
        at = bisect_left(leaves, key, key=_last_key) if len(leaves) > 1 else 0
        if at == len(leaves):
            return None
        leaf = leaves[at]
        place = bisect_left(leaf.keys, key)
        return leaf.items[place] if place < len(leaf.keys) and leaf.keys[place] == key else None

    def edit(self, entries: Mapping[str, bytes | None], fresh: list[Node]) -> Tree:
        """Return the map with entries replaced, added or (None) removed; nodes made on the way are added to ``fresh``."""
        if len(entries) == 1:
            ((key, entry),) = entries.items()
            replaced = None if entry is None else self._replaced(key, entry, fresh)
            if replaced is not None:
                return replaced
        changes = {key: None if entry is None else map_item(key, entry) for key, entry in entries.items()}
        levels: list[tuple[Node, ...]] = []
        for level, old in enumerate(self.levels):
            new, removed, added = _edit_level(old, changes, level=level)
            fresh.extend(added)
            levels.append(new)
            if len(new) == 1:
                return Tree(keyed=True, levels=tuple(levels))
            gone: dict[str, Item | None] = dict.fromkeys(node.last_key for node in removed)
            changes = gone | {node.last_key: _parent_item(node, keyed=True, level=level + 1) for node in added}
        return self._topped(levels, fresh)

    def _replaced(self, key: str, entry: bytes, fresh: list[Node]) -> Tree | None:
        """Return the map with the entry of a key replaced: no cut moves, for keys make them. None if the key is not there."""
        levels: list[tuple[Node, ...]] = []
        for level, nodes in enumerate(self.levels):
            at = bisect_left(nodes, key, key=_last_key) if len(nodes) > 1 else 0
            keys = nodes[at].keys if at < len(nodes) else ()
            place = bisect_left(keys, key)
            if place == len(keys) or keys[place] != key:
                return None
            items = list(nodes[at].items)
            items[place] = Item(b"[" + _text(key) + b"," + entry + b"]", items[place].cut, key)
            made = _node_of(tuple(items), keys, keyed=True, level=level)
            fresh.append(made)
            if len(nodes) == 1:
                return Tree(keyed=True, levels=(*levels, (made,)))
            levels.append((*nodes[:at], made, *nodes[at + 1 :]))
            key, entry = keys[-1], reference(made.id)
        return None

    def extend(self, items: Sequence[Item], fresh: list[Node]) -> Tree:
        """Return the list with items added at its end; nodes made on the way are added to ``fresh``."""
        if not items:
            return self
        levels: list[tuple[Node, ...]] = []
        for level, old in enumerate(self.levels):
            kept = old[-1].items[:-1] if level else old[-1].items
            tail = _cut((*kept, *items), keyed=False, level=level)
            fresh.extend(tail)
            levels.append((*old[:-1], *tail))
            if len(levels[-1]) == 1:
                return Tree(keyed=False, levels=tuple(levels))
            items = [_parent_item(node, keyed=False, level=level + 1) for node in tail]
        return self._topped(levels, fresh)

    def _topped(self, levels: list[tuple[Node, ...]], fresh: list[Node]) -> Tree:
        upper = _upper_levels(levels[-1], keyed=self.keyed, level=len(levels))
        fresh.extend(node for above in upper for node in above)
        return Tree(self.keyed, (*levels, *upper))


def _key(item: Item) -> str:
    return item.key


def _last_key(node: Node) -> str:
    return node.last_key


def _upper_levels(nodes: tuple[Node, ...], *, keyed: bool, level: int) -> tuple[tuple[Node, ...], ...]:
    levels: list[tuple[Node, ...]] = []
    while len(nodes) > 1:
        nodes = _cut((_parent_item(node, keyed=keyed, level=level) for node in nodes), keyed=keyed, level=level)
        levels.append(nodes)
        level += 1
    return tuple(levels)


def _edit_level(
    old: tuple[Node, ...], changes: Mapping[str, Item | None], *, level: int
) -> tuple[tuple[Node, ...], list[Node], list[Node]]:
    """Re-cut the nodes of one level that changes fall into; return the new level, the nodes removed and those added."""
    pending = sorted(changes.items(), key=_change_key)
    new: list[Node] = []
    removed: list[Node] = []
    added: list[Node] = []
    at = place = 0
    while place < len(pending):
        first = min(bisect_left(old, pending[place][0], lo=at, key=_last_key), len(old) - 1)
        new.extend(old[at:first])
        at = first
        run: list[Item] = []
        while at < len(old):
            node = old[at]
            at += 1
            removed.append(node)
            stop = len(pending) if at == len(old) else bisect_right(pending, node.last_key, lo=place, key=_change_key)
            closed, run = _split((*run, *_merged(node.items, pending[place:stop])))
            place = stop
            made = [_make_node(items, keyed=True, level=level) for items in closed]
            if run and at == len(old):
                made.append(_make_node(run, keyed=True, level=level))
            added += made
            new += made
            if not run:  # a cut falls where one fell before: everything behind it stays
                break
    new.extend(old[at:])
    if not new:
        new = added = [_make_node((), keyed=True, level=level)]
    return tuple(new), removed, added


def _change_key(change: tuple[str, Item | None]) -> str:
    return change[0]


def _merged(items: tuple[Item, ...], changes: Sequence[tuple[str, Item | None]]) -> list[Item]:
    merged: dict[str, Item | None] = {item.key: item for item in items}
    merged.update(changes)
    return sorted((item for item in merged.values() if item is not None), key=_key)


# --- values ---------------------------------------------------------------------------------------------------------------


def entry_of(value: object, put: Callable[[str, bytes], None], canonical: bytes | None = None) -> bytes:
    """Return the entry that stands for a value, handing every artifact it needs to ``put(id, bytes)``.

    ``canonical`` is the value's canonical JSON, where the caller has it already.
    """
    data = canonical_json(value) if canonical is None else canonical
    if len(data) <= INLINE_BYTES:
        return b"[" + data + b"]"
    if len(data) > TREE_BYTES and isinstance(value, dict | list | tuple):
        tree = tree_of(value, put)
        for node in tree.nodes():
            put(node.id, node.data)
        return reference(tree.id)
    identity = sha256(data).hexdigest()
    put(identity, data)
    return reference(identity)


def tree_of(value: object, put: Callable[[str, bytes], None]) -> Tree:
    """Return the tree of a map or list, whatever its size; artifacts of its values go to ``put``, its nodes do not."""
    if isinstance(value, dict):
        return Tree.build((map_item(key, entry_of(value[key], put)) for key in sorted(value)), keyed=True)
    assert isinstance(value, list | tuple)
    return Tree.build((list_item(entry_of(item, put)) for item in value), keyed=False)


def entry_id(entry: bytes) -> str | None:
    """Return the artifact id an entry refers to, None if it holds its value inline."""
    return entry[1:-1].decode() if entry[:1] == b'"' else None


class NodeBody(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The parsed rows of a node; one field is set, and says the shape."""

    m: list[tuple[str, msgspec.Raw]] | None = None
    M: list[tuple[str, str]] | None = None
    l: list[msgspec.Raw] | None = None  # noqa: E741 - the stored name
    L: list[str] | None = None

    @property
    def keyed(self) -> bool:
        """Whether the node belongs to a map."""
        return self.m is not None or self.M is not None

    @property
    def children(self) -> list[str] | None:
        """The ids of the nodes below, None for a leaf."""
        return self.L if self.M is None else [child for _, child in self.M]

    def node(self, level: int, identity: str, data: bytes) -> Node:
        """Return the node as the tree holds it."""
        items = self._items(level)
        return Node(items, identity, data, tuple([item.key for item in items]) if self.keyed else ())

    def _items(self, level: int) -> tuple[Item, ...]:
        if self.m is not None:
            return tuple([map_item(key, bytes(entry)) for key, entry in self.m])
        if self.l is not None:
            return tuple([list_item(bytes(entry)) for entry in self.l])
        if self.M is not None:
            return tuple([map_item(key, reference(child), level) for key, child in self.M])
        return tuple([list_item(reference(child), level) for child in self.L or ()])


_decode_node = msgspec.json.Decoder(NodeBody).decode


def is_node(data: bytes) -> bool:
    """Tell whether an artifact is a node rather than a value."""
    return data.startswith(NODE_PREFIX)


def parse_node(data: bytes) -> NodeBody:
    """Return the rows of a node.

    Raises:
        CorruptionError: the bytes are no node.
    """
    if is_node(data):
        try:
            return _decode_node(data[len(NODE_PREFIX) :])
        except msgspec.MsgspecError:
            pass
    raise CorruptionError("snapshot node " + sha256(data).hexdigest(), "it is not a node")


def inline_value(entry: bytes) -> JsonValue:
    """Return the value an inline entry holds."""
    return decode_json(entry[1:-1])


def map_row(item: Item) -> tuple[str, bytes]:
    """Return (key, entry) of a map leaf's item."""
    return item.key, item.text[len(_text(item.key)) + 2 : -1]


def reference(identity: str) -> bytes:
    """Return the entry that refers to an artifact."""
    return b'"' + identity.encode() + b'"'
