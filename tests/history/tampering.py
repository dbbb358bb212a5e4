"""Ways to change a store behind its back, each by chance: rows, hashes, heads, artifacts, and whole histories written anew."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from durum.core.canonical import canonical_json
from tests.history.tampered import SEQ_BITS, Row, chained, genesis

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from tests.history.tampered import Shelf

    Edit = Callable[["random.Random", "Shelf"], None]

# --- bytes --------------------------------------------------------------------------------------------------------------


def flipped(chance: random.Random, data: bytes) -> bytes:
    """Change one bit."""
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def cut(chance: random.Random, data: bytes) -> bytes:
    """Leave the end out."""
    return data[: chance.randrange(len(data))]


def longer(chance: random.Random, data: bytes) -> bytes:
    """Add some bytes."""
    return data + chance.randbytes(chance.randint(1, 9))


def replaced(chance: random.Random, data: bytes) -> str:
    """Make text of it, which is what SQL's ``replace()`` makes of bytes."""
    letter = chance.choice([chr(byte) for byte in data if 32 < byte < 127] or ["x"])
    return data.decode("latin-1").replace(letter, letter + letter)


def other_encoding(chance: random.Random, data: bytes) -> bytes:
    """Write the same text in another encoding."""
    return data.decode("utf-8", "replace").encode(chance.choice(["utf-16-le", "utf-16", "utf-32", "utf-8-sig"]))


def other_spacing(chance: random.Random, data: bytes) -> bytes:
    """Write the same JSON in another way."""
    del chance
    try:
        return json.dumps(json.loads(data), indent=1).encode()
    except ValueError:
        return b" " + data


def other_type(chance: random.Random, data: bytes) -> object:
    """Put something there that is no bytes."""
    return chance.choice([len(data), 1.5, "", "text", -1, bytes(len(data))])


CHANGES = (flipped, flipped, flipped, cut, longer, replaced, other_encoding, other_spacing, other_type)


def other_value(chance: random.Random, value: Any) -> Any:
    """Change one thing somewhere in a JSON value."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        if chance.random() < 0.1:
            return {name: part for name, part in value.items() if name != key}
        return value | {key: other_value(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        return [*value[:place], other_value(chance, value[place]), *value[place + 1 :]]
    match value:
        case bool():
            return not value
        case int():
            return chance.choice([value + 1, -value - 1, str(value), 2**53 - 1])
        case str():
            return chance.choice([value + "x", value[1:], value[::-1] + "0", None, [value]])
    return chance.choice([0, "", [value], {"a": value}])


def other_body(chance: random.Random, body: bytes) -> bytes:
    """Change one thing in an event, all of it still JSON."""
    return canonical_json(other_value(chance, json.loads(body)))


def other_event(chance: random.Random, body: bytes) -> bytes:
    """Make an event another one in the same place."""
    event = json.loads(body)
    match chance.randrange(4):
        case 0:
            event |= {"ts_millis": event["ts_millis"] - chance.randint(1, 10**6)}
        case 1:
            event |= {"attempt": 7, "state_id": "golden.other.main"}
        case _:
            event |= {"body": other_value(chance, event["body"])}
    return canonical_json(event)


def other_kind(chance: random.Random, body: bytes) -> bytes:
    """Make an event one of a kind nobody knows."""
    event = json.loads(body)
    return canonical_json(
        event | chance.choice([{"kind": "alien.landed"}, {"v": 9}, {"kind": event["kind"] + "s"}, {"kind": ""}])
    )


# --- rows ---------------------------------------------------------------------------------------------------------------


def some_run(chance: random.Random, shelf: Shelf, least: int = 1) -> tuple[str, list[Row]]:
    """Return a run with at least so many events, and its rows."""
    run_id = chance.choice([run_id for run_id in shelf.run_ids if len(shelf.sound.runs[run_id].rows) >= least])
    return run_id, list(shelf.sound.runs[run_id].rows)


def put(shelf: Shelf, run_id: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Replace rows, each in its place."""
    stem = shelf.numbers[run_id] << SEQ_BITS
    found = [(stem + int(str(seq)), *others) for seq, *others in rows]
    shelf.sql.executemany("INSERT OR REPLACE INTO events (position, hash, body) VALUES (?, ?, ?)", found)


def drop(shelf: Shelf, run_id: str, first: int, last: int = (1 << SEQ_BITS) - 1) -> None:
    """Delete rows."""
    stem = shelf.numbers[run_id] << SEQ_BITS
    shelf.sql.execute("DELETE FROM events WHERE position BETWEEN ? AND ?", (stem + first, stem + last))


def set_head(shelf: Shelf, run_id: str, **columns: object) -> None:
    """Change a run's row."""
    for name, value in columns.items():
        shelf.sql.execute(f"UPDATE runs SET {name} = ? WHERE run_id = ?", (value, run_id))  # noqa: S608 - our own names


def change_body(chance: random.Random, shelf: Shelf) -> None:
    """Change a body."""
    run_id, rows = some_run(chance, shelf)
    row = chance.choice(rows)
    changed = other_body(chance, row.body) if chance.random() < 0.3 else chance.choice(CHANGES)(chance, row.body)
    put(shelf, run_id, [(row.seq, row.hash, changed)])


def change_hash(chance: random.Random, shelf: Shelf) -> None:
    """Change a hash."""
    run_id, rows = some_run(chance, shelf)
    row = chance.choice(rows)
    put(shelf, run_id, [(row.seq, chance.choice(CHANGES)(chance, row.hash), row.body)])


def forge_event(chance: random.Random, shelf: Shelf) -> None:
    """Change a body and give it the hash it should have: the next event, or the head, gives it away."""
    run_id, rows = some_run(chance, shelf)
    row = chance.choice(rows)
    before = rows[row.seq - 2].hash if row.seq > 1 else genesis(run_id)
    put(shelf, run_id, chained(before, [chance.choice([other_body, other_kind])(chance, row.body)], row.seq))


def delete_events(chance: random.Random, shelf: Shelf) -> None:
    """Delete one row or some."""
    run_id, rows = some_run(chance, shelf)
    first = chance.choice(rows).seq
    drop(shelf, run_id, first, first + chance.choice([0, 0, 2, len(rows)]))


def swap_events(chance: random.Random, shelf: Shelf) -> None:
    """Exchange two rows of a run."""
    run_id, rows = some_run(chance, shelf, 2)
    one, other = chance.sample(rows, 2)
    put(shelf, run_id, [(one.seq, other.hash, other.body), (other.seq, one.hash, one.body)])


def swap_runs(chance: random.Random, shelf: Shelf) -> None:
    """Exchange rows of two runs, or all of them."""
    first, second = chance.sample(shelf.run_ids, 2)
    ours, theirs = shelf.sound.runs[first].rows, shelf.sound.runs[second].rows
    if chance.random() < 0.3:
        one, other = shelf.numbers[first], shelf.numbers[second]
        for number, run_id in ((-1, first), (one, second), (other, first)):
            set_head(shelf, run_id, run_no=number)
        return
    seq = chance.randint(1, min(len(ours), len(theirs)))
    put(shelf, first, [theirs[seq - 1]])
    put(shelf, second, [ours[seq - 1]])


def move_event(chance: random.Random, shelf: Shelf) -> None:
    """Take a row from one run and put it into another, at its end or over another row."""
    first, second = chance.sample(shelf.run_ids, 2)
    row = chance.choice(shelf.sound.runs[first].rows)
    theirs = shelf.sound.runs[second].rows
    drop(shelf, first, row.seq, row.seq)
    put(shelf, second, [(chance.choice([len(theirs) + 1, chance.choice(theirs).seq]), row.hash, row.body)])


def insert_event(chance: random.Random, shelf: Shelf) -> None:
    """Add a row at the end, well chained or not, perhaps further on; or in the middle, all behind it moved on by one."""
    run_id, rows = some_run(chance, shelf)
    copied = chance.choice(rows)
    end = len(rows) + 1 + chance.choice([0, 0, 1, 7])
    if chance.random() < 0.5:
        put(shelf, run_id, chained(rows[-1].hash, [copied.body], end) if chance.random() < 0.5 else [copied._replace(seq=end)])
        return
    place = chance.randint(1, len(rows))
    put(shelf, run_id, [(row.seq + 1, row.hash, row.body) for row in rows[place - 1 :]])
    put(shelf, run_id, [copied._replace(seq=place)])
    if chance.random() < 0.5:
        set_head(shelf, run_id, head_seq=len(rows) + 1)


def change_head(chance: random.Random, shelf: Shelf) -> None:
    """Change where a log is said to end."""
    run_id, rows = some_run(chance, shelf)
    seen = shelf.sound.runs[run_id]
    match chance.randrange(5):
        case 0:
            set_head(shelf, run_id, head_seq=max(0, len(rows) + chance.choice([-3, -1, 1, 1_000])))
        case 1:
            set_head(shelf, run_id, head_hash=chance.choice(CHANGES)(chance, seen.head_hash))
        case 2:
            set_head(shelf, run_id, head_seq=chance.choice(["many", 2.5, -4, 2**40, b"\xff", ""]))
        case 3:
            set_head(shelf, run_id, epoch=seen.epoch - 1)
        case _:
            other = shelf.sound.runs[chance.choice(shelf.run_ids)]
            set_head(shelf, run_id, head_seq=other.head_seq, head_hash=other.head_hash)


# --- artifacts ----------------------------------------------------------------------------------------------------------


def some_artifact(chance: random.Random, shelf: Shelf, *, inline: bool = True) -> tuple[bytes, bytes]:
    """Return an artifact's digest and bytes."""
    asked = f"SELECT digest, data FROM artifacts WHERE data IS {'NOT ' if inline else ''}NULL ORDER BY 1"  # noqa: S608
    digest, data = chance.choice(shelf.sql.execute(asked).fetchall())
    return digest, data


def change_artifact(chance: random.Random, shelf: Shelf) -> None:
    """Change bytes in a row, sometimes with the size they then have."""
    digest, data = some_artifact(chance, shelf)
    changed = chance.choice(CHANGES)(chance, data)
    shelf.sql.execute("UPDATE artifacts SET data = ? WHERE digest = ?", (changed, digest))
    if chance.random() < 0.5:
        shelf.sql.execute("UPDATE artifacts SET size = length(CAST(data AS BLOB)) WHERE digest = ?", (digest,))


def change_row(chance: random.Random, shelf: Shelf) -> None:
    """Change what a row says besides the bytes, or take it away."""
    digest, _ = some_artifact(chance, shelf, inline=chance.random() < 0.9)
    statement = chance.choice(
        [
            "DELETE FROM artifacts WHERE digest = ?",
            "UPDATE artifacts SET data = CASE WHEN data IS NULL THEN x'00' END WHERE digest = ?",
            "UPDATE artifacts SET digest = zeroblob(32) WHERE digest = ?",
            "UPDATE artifacts SET digest = CAST(hex(digest) AS TEXT) WHERE digest = ?",
            "UPDATE artifacts SET size = size + 1 WHERE digest = ?",
            "UPDATE artifacts SET size = -1 WHERE digest = ?",
            "UPDATE artifacts SET size = 'many' WHERE digest = ?",
            "UPDATE artifacts SET size = 0, data = x'' WHERE digest = ?",
        ]
    )
    shelf.sql.execute(statement, (digest,))


def swap_artifacts(chance: random.Random, shelf: Shelf) -> None:
    """Exchange the bytes of two rows, or their names."""
    one, other = (some_artifact(chance, shelf) for _ in range(2))
    if chance.random() < 0.5:
        for (digest, _), (_, data) in ((one, other), (other, one)):
            shelf.sql.execute("UPDATE artifacts SET data = ?, size = ? WHERE digest = ?", (data, len(data), digest))
        return
    for now, was in ((bytes(32), one[0]), (one[0], other[0]), (other[0], bytes(32))):
        shelf.sql.execute("UPDATE artifacts SET digest = ? WHERE digest = ?", (now, was))


def change_file(chance: random.Random, shelf: Shelf) -> None:
    """Change, replace or remove the file of a large artifact."""
    file, other = chance.sample(shelf.filed(), 2)
    data = file.read_bytes()
    match chance.randrange(5):
        case 0:
            file.unlink()
        case 1:
            file.unlink()
            file.mkdir()
        case 2:
            file.write_bytes(other.read_bytes())
        case 3:
            file.write_bytes(b"")
        case _:
            file.write_bytes(chance.choice([flipped, flipped, cut, longer, other_encoding])(chance, data))


# --- histories written anew, every hash as it should be -------------------------------------------------------------------


def rewrite(shelf: Shelf, run_id: str, bodies: Sequence[bytes]) -> None:
    """Make a run's log anew of bodies, numbered and chained, and its head with it."""
    numbered = []
    for seq, body in enumerate(bodies, 1):
        event = json.loads(body)
        numbered.append(body if event["seq"] == seq else canonical_json(event | {"seq": seq}))
    rows = chained(genesis(run_id), numbered)
    drop(shelf, run_id, 1)
    put(shelf, run_id, rows)
    set_head(shelf, run_id, head_seq=len(rows), head_hash=rows[-1].hash if rows else genesis(run_id))


def rewrite_one(chance: random.Random, shelf: Shelf) -> None:
    """Change one event and chain all behind it anew."""
    run_id, rows = some_run(chance, shelf)
    bodies = [row.body for row in rows]
    place = chance.randrange(len(bodies))
    bodies[place] = chance.choice([other_kind, other_event, other_event])(chance, bodies[place])
    rewrite(shelf, run_id, bodies)


def rewrite_order(chance: random.Random, shelf: Shelf) -> None:
    """Leave events out, repeat them or put them in another order, and number and chain them anew."""
    run_id, rows = some_run(chance, shelf, 3)
    bodies = [row.body for row in rows]
    one, other = chance.sample(range(len(bodies)), 2)
    match chance.randrange(4):
        case 0:
            del bodies[one]
        case 1:
            bodies[one], bodies[other] = bodies[other], bodies[one]
        case 2:
            bodies.insert(one, bodies[other])
        case _:
            bodies = bodies[:one]
    rewrite(shelf, run_id, bodies)


def rewrite_all(chance: random.Random, shelf: Shelf) -> None:
    """Give a run the history of another, under its own name."""
    first, second = chance.sample(shelf.run_ids, 2)
    rewrite(shelf, first, [row.body for row in shelf.sound.runs[second].rows])
    set_head(shelf, first, epoch=2**40)


def rewrite_artifact(chance: random.Random, shelf: Shelf) -> None:
    """Change an artifact under a name that fits it, and name that wherever the old one was named in a log."""
    run_id, rows = some_run(chance, shelf)
    digest, data = some_artifact(chance, shelf)
    named = [row for row in rows if digest.hex().encode() in row.body]
    while not named:
        digest, data = some_artifact(chance, shelf)
        named = [row for row in rows if digest.hex().encode() in row.body]
    changed = flipped(chance, data)
    fresh = sha256(changed).digest()
    shelf.sql.execute(
        "INSERT OR IGNORE INTO artifacts (digest, kind, size, data) VALUES (?, 'other', ?, ?)", (fresh, len(changed), changed)
    )
    rewrite(shelf, run_id, [row.body.replace(digest.hex().encode(), fresh.hex().encode()) for row in rows])


EDITS: tuple[Edit, ...] = (
    *[change_body] * 4,
    *[change_hash, forge_event, forge_event, delete_events, swap_events, swap_runs, move_event, insert_event],
    *[change_head] * 2,
    *[change_artifact] * 3,
    *[change_row, swap_artifacts, change_file, change_file],
    *[rewrite_one] * 3,
    *[rewrite_order, rewrite_all, rewrite_artifact],
)


def truncate(chance: random.Random, shelf: Shelf) -> None:
    """Cut a log off, mostly together with what says where it ends; sometimes something else is written behind it."""
    run_id, rows = some_run(chance, shelf)
    left = chance.randrange(len(rows))
    drop(shelf, run_id, left + 1)
    if chance.random() < 0.2:
        return
    bodies = [row.body for row in rows[:left]]
    if left and chance.random() < 0.2:
        bodies += [other_event(chance, body) for body in bodies[-chance.randint(1, 5) :]]
    rewrite(shelf, run_id, bodies)
