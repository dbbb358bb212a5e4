"""Snapshots read back: trees by their id, values by their entry."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from durum.core.canonical import canonical_json, decode_json
from durum.core.tree import Tree, entry_id, inline_value, is_node, map_row, parse_node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.core.canonical import JsonObject, JsonValue
    from durum.engine.artifacts import ArtifactReader

_TREES_KEPT = 64
_LISTS_KEPT = 4


class Snapshots:
    """Loads snapshot trees and the values in them; trees in use are shared, values are decoded afresh for every reader."""

    def __init__(self, reader: ArtifactReader) -> None:
        self._reader = reader
        self._trees: OrderedDict[str, Tree] = OrderedDict()
        self._items: OrderedDict[bytes, Sequence[bytes]] = OrderedDict()

    def remember(self, tree: Tree) -> None:
        """Keep a tree that was just made; the next state most likely begins from it."""
        identity = tree.id
        self._trees[identity] = tree
        self._trees.move_to_end(identity)
        if len(self._trees) > _TREES_KEPT:
            self._trees.popitem(last=False)

    async def tree(self, tree_id: str) -> Tree:
        """Return the tree of a snapshot or of a large list or map."""
        tree = self._trees.get(tree_id)
        if tree is None:
            tree = await self._load(tree_id)
            self.remember(tree)
        return tree

    async def _load(self, tree_id: str) -> Tree:
        """Read level by level from the root; an item's level is known once the leaves are reached."""
        rows = [[(tree_id, data := await self._reader.get(tree_id), parse_node(data))]]
        while rows[-1][0][2].children is not None:
            below = []
            for _, _, body in rows[-1]:
                for child in body.children or ():
                    data = await self._reader.get(child)
                    below.append((child, data, parse_node(data)))
            rows.append(below)
        levels = [
            tuple([body.node(level, node_id, data) for node_id, data, body in nodes])
            for level, nodes in enumerate(reversed(rows))
        ]
        return Tree(rows[0][0][2].keyed, tuple(levels))

    def at_hand(self, entry: bytes) -> bytes | None:
        """Return the canonical JSON of the value an entry stands for, if it is in memory and in one piece."""
        identity = entry_id(entry)
        if identity is None:
            return entry[1:-1]
        data = self._reader.cache.get(identity)
        return None if data is None or is_node(data) else data

    async def value(self, entry: bytes) -> JsonValue:
        """Return a fresh decode of the value an entry stands for."""
        identity = entry_id(entry)
        if identity is None:
            return inline_value(entry)
        data = await self._reader.get(identity)
        if not is_node(data):
            return decode_json(data)
        tree = await self.tree(identity)
        if tree.keyed:
            return await self.content(tree)
        return [await self.value(item.text) for item in tree.entries()]

    async def list_tree(self, entry: bytes) -> Tree | None:
        """Return the tree behind an entry that stands for a large list, None for any other entry."""
        identity = entry_id(entry)
        if identity is None or (identity not in self._trees and not is_node(await self._reader.get(identity))):
            return None
        tree = await self.tree(identity)
        return None if tree.keyed else tree

    async def items(self, entry: bytes) -> Sequence[bytes]:
        """Return the canonical items of a list, or ``[key, value]`` of a map in key order; kept for who reads the next one."""
        known = self._items.get(entry)
        if known is None:
            value = await self.value(entry)
            rows = [[key, value[key]] for key in sorted(value)] if isinstance(value, dict) else value
            known = [canonical_json(row) for row in rows] if isinstance(rows, list) else []
            self._items[entry] = known
            if len(self._items) > _LISTS_KEPT:
                self._items.popitem(last=False)
        return known

    async def content(self, tree: Tree) -> JsonObject:
        """Return the whole map a tree holds."""
        return {key: await self.value(entry) for key, entry in map(map_row, tree.entries())}

    async def read(self, tree: Tree, key: str) -> JsonValue:
        """Return the value of a key; ``KeyError`` if the map has none."""
        item = tree.find(key)
        if item is None:
            raise KeyError(key)
        return await self.value(map_row(item)[1])
