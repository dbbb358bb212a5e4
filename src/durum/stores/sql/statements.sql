-- name: find_run
-- The row of a run. A blob that someone edited as text still reads as bytes, here and below.
SELECT run_no, head_seq, CAST(head_hash AS BLOB), epoch, owner, created_ms, strikes FROM runs WHERE run_id = ?;

-- name: add_run
-- A run that was never seen, owned from the start.
INSERT INTO runs (run_id, created_ms, head_seq, head_hash, epoch, owner, wake_ms) VALUES (?, ?, 0, ?, 1, ?, 0);

-- name: take_run
-- A new owner under a new epoch; the old one is fenced from here on. Should this one die, the run is due at once.
UPDATE runs SET owner = ?, epoch = epoch + 1, strikes = ?, wake_ms = 0 WHERE run_no = ?;

-- name: release_run
-- Only the owner of this very epoch can give a run up.
UPDATE runs SET owner = NULL, wake_ms = ?, strikes = 0 WHERE run_id = ? AND owner = ? AND epoch = ?;

-- name: all_runs
-- Runs with events, newest first.
SELECT run_id, head_seq, CAST(head_hash AS BLOB), epoch, owner, created_ms, strikes FROM runs WHERE head_seq > 0
ORDER BY created_ms DESC, run_no DESC;

-- name: due_runs
-- Runs with an owner, who may be gone, then those nobody owns that are due or that somebody wrote to.
SELECT run_id, owner, epoch, CASE WHEN wake_ms <= ? THEN wake_ms END, strikes FROM runs
WHERE head_seq > 0 AND (wake_ms <= ? OR (owner IS NULL AND run_no IN (SELECT run_no FROM inbox)))
ORDER BY owner IS NULL, wake_ms IS NULL, wake_ms, run_no;

-- name: move_head
-- The guard of every append: no row changes unless head and epoch are what the writer thinks.
UPDATE runs SET head_seq = ?, head_hash = ? WHERE run_no = ? AND head_seq = ? AND epoch = ?;

-- name: add_event
INSERT INTO events (position, hash, body) VALUES (?, ?, ?);

-- name: read_events
SELECT position & 4294967295, CAST(hash AS BLOB), CAST(body AS BLOB) FROM events WHERE position BETWEEN ? AND ? ORDER BY position;

-- name: add_artifact
-- Content never changes, so storing it again is no work.
INSERT INTO artifacts (digest, kind, size, data) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: get_artifact
SELECT CAST(data AS BLOB), size FROM artifacts WHERE digest = ?;

-- name: get_artifacts
-- Those in the list that follows that lie here and are as long as they should be.
SELECT digest, CAST(data AS BLOB) FROM artifacts WHERE length(CAST(data AS BLOB)) = size AND digest IN

-- name: add_message_key
-- The first message with a dedupe key wins.
INSERT INTO inbox_keys (run_no, dedupe_key) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: add_message
INSERT INTO inbox (run_no, message_id, kind, payload) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: read_inbox
SELECT message_id, kind, payload FROM inbox WHERE run_no = ? ORDER BY message_no;

-- name: addressed_runs
-- Runs somebody wrote to.
SELECT run_id FROM runs WHERE run_no IN (SELECT run_no FROM inbox);

-- name: drop_message
DELETE FROM inbox WHERE run_no = ? AND message_id = ?;
