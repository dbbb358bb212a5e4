"""Snapshot trees: one content, one id, however it came about; a change writes little."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from durum.core.canonical import canonical_json
from durum.core.tree import NODE_PREFIX, Node, Tree, entry_of, list_item, map_item, map_row, parse_node

KEYS = st.text(alphabet="abcdefghij", min_size=1, max_size=3)
ENTRIES = st.integers(0, 5).map(lambda n: f"[{n}]".encode())


def build_map(content: dict[str, bytes]) -> Tree:
    """Return the tree of a map built from scratch."""
    return Tree.build((map_item(key, content[key]) for key in sorted(content)), keyed=True)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(KEYS, ENTRIES, max_size=300),
    st.lists(st.dictionaries(KEYS, st.one_of(st.none(), ENTRIES), max_size=40), max_size=4),
)
def test_edited_map_equals_one_built_from_scratch(start: dict[str, bytes], edits: list[dict[str, bytes | None]]) -> None:
    """Any chain of edits gives the levels a fresh build gives, and every node of the result was reported fresh or known."""
    content = dict(start)
    tree = build_map(content)
    known = {node.id for node in tree.nodes()}
    for edit in edits:
        fresh: list[Node] = []
        tree = tree.edit(edit, fresh)
        for key, entry in edit.items():
            if entry is None:
                content.pop(key, None)
            else:
                content[key] = entry
        known |= {node.id for node in fresh}
        assert tree == build_map(content)
        assert {node.id for node in tree.nodes()} <= known
        assert [map_row(item) for item in tree.entries()] == sorted(content.items())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1500), st.lists(st.tuples(st.integers(0, 1600), st.none() | ENTRIES), min_size=1, max_size=8))
def test_one_edited_key_at_a_time_equals_a_map_built_from_scratch(size: int, edits: list[tuple[int, bytes | None]]) -> None:
    """On maps of several levels: a key that is there and one that is not, before, among and behind the others."""
    content = {f"{2 * place:05}": b"[9]" for place in range(size)}
    tree = build_map(content)
    for place, entry in edits:
        key = f"{place if place % 3 else 2 * place:05}"
        tree = tree.edit({key: entry}, [])
        if entry is None:
            content.pop(key, None)
        else:
            content[key] = entry
        assert tree == build_map(content)


@settings(max_examples=200, deadline=None)
@given(st.lists(ENTRIES, max_size=400), st.lists(st.lists(ENTRIES, max_size=150), max_size=4))
def test_extended_list_equals_one_built_from_scratch(start: list[bytes], parts: list[list[bytes]]) -> None:
    """Appending in any portions gives the tree of the whole list, even when all items are equal."""
    content = list(start)
    tree = Tree.build(map(list_item, content), keyed=False)
    known = {node.id for node in tree.nodes()}
    for part in parts:
        fresh: list[Node] = []
        tree = tree.extend([list_item(entry) for entry in part], fresh)
        content += part
        known |= {node.id for node in fresh}
        assert tree == Tree.build(map(list_item, content), keyed=False)
        assert {node.id for node in tree.nodes()} <= known


def test_fanout_is_bounded_and_levels_shrink_for_equal_items() -> None:
    """Equal items cannot build a degenerate tree: nodes hold 4 to 64 items, but for the last of a level."""
    tree = Tree.build(map(list_item, [b"[0]"] * 5000), keyed=False)
    for level in tree.levels:
        assert all(4 <= len(node.items) <= 64 for node in level[:-1])
    assert len(tree.levels) <= 8


def test_one_changed_key_of_many_makes_few_nodes() -> None:
    """Changing one key of 10,000 rewrites one path; appending one item to 10,000 rewrites one path."""
    content = {f"key{n:05}": b"[1]" for n in range(10_000)}
    fresh: list[Node] = []
    tree = build_map(content)
    tree.edit({"key00500": b"[2]"}, fresh)
    assert len(fresh) <= len(tree.levels)
    fresh.clear()
    items = Tree.build((list_item(b"[%d]" % n) for n in range(10_000)), keyed=False)
    items.extend([list_item(b"[-1]")], fresh)
    assert len(fresh) <= len(items.levels) + 2


def test_no_value_can_pass_for_a_node() -> None:
    """A value whose JSON spells a node out is an ordinary value under another id."""
    tree = build_map({"a": b"[1]"})
    stored: dict[str, bytes] = {}
    text = tree.levels[0][0].data.decode()
    for value in ({"m": [["a", [1]]]}, {"m": [["a", [1]]] * 60}, text, text * 10):
        entry_of(value, stored.__setitem__)
        assert not canonical_json(value).startswith(NODE_PREFIX)
    assert tree.id not in stored
    assert parse_node(tree.levels[0][0].data).m is not None
