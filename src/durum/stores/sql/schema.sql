-- Schema version 2 (docs/decisions/0004 and 0017). Changes only go forward, each in a file of its own (to_2.sql ...).

-- One row a run: its number inside this store, and the head every append is guarded by.
CREATE TABLE runs (
    run_no     INTEGER PRIMARY KEY,
    run_id     TEXT    NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,           -- Unix epoch
    head_seq   INTEGER NOT NULL,           -- 0: claimed, nothing appended yet
    head_hash  BLOB    NOT NULL,           -- 32 bytes
    epoch      INTEGER NOT NULL,           -- fencing token, one higher at every claim
    owner      TEXT,                       -- worker id, NULL after a release
    wake_ms    INTEGER,                    -- when it wants to be driven on, NULL: not before a message comes. 0 while it is owned
    strikes    INTEGER NOT NULL DEFAULT 0  -- claims in a row that took it over from an owner that was gone
);

-- What is due is found without a look at the others.
CREATE INDEX due ON runs (wake_ms) WHERE wake_ms IS NOT NULL;

-- One row an event. position = run_no * 2^32 + seq, so a log is one stretch of the table and an append touches its end.
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    hash     BLOB NOT NULL,                -- 32 bytes, chained over the one before
    body     BLOB NOT NULL                 -- canonical JSON of the envelope
);

-- Immutable bytes by their SHA-256. data is NULL where the bytes lie in a file beside the database.
CREATE TABLE artifacts (
    artifact_no INTEGER PRIMARY KEY,
    digest      BLOB    NOT NULL UNIQUE,   -- 32 bytes
    kind        TEXT    NOT NULL,
    size        INTEGER NOT NULL,
    data        BLOB
);

-- Messages to a run from anyone who is not its owner; a row leaves in the append that takes it into the log.
CREATE TABLE inbox (
    message_no INTEGER PRIMARY KEY,
    run_no     INTEGER NOT NULL REFERENCES runs (run_no),
    message_id TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    payload    BLOB    NOT NULL,           -- canonical JSON
    UNIQUE (run_no, message_id)
);

-- Dedupe keys stay after their message was consumed, so the first answer wins for good.
CREATE TABLE inbox_keys (
    run_no     INTEGER NOT NULL REFERENCES runs (run_no),
    dedupe_key TEXT    NOT NULL,
    PRIMARY KEY (run_no, dedupe_key)
) WITHOUT ROWID;

-- For people with an SQL prompt; no code reads it.
CREATE VIEW log AS
SELECT runs.run_id, events.position & 4294967295 AS seq, hex(events.hash) AS hash, CAST(events.body AS TEXT) AS body
FROM events JOIN runs ON runs.run_no = events.position >> 32;
