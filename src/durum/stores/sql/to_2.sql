-- From schema version 1 to 2: workers find what is due.
ALTER TABLE runs ADD COLUMN wake_ms INTEGER;
ALTER TABLE runs ADD COLUMN strikes INTEGER NOT NULL DEFAULT 0;

-- Of the runs so far every one that is not over is due: whoever takes it up finds out what it waits for.
UPDATE runs SET wake_ms = 0 WHERE NOT EXISTS (
    SELECT 1 FROM events
    WHERE position = (runs.run_no << 32) + runs.head_seq AND instr(CAST(body AS TEXT), '"kind":"run.completed"')
);

CREATE INDEX due ON runs (wake_ms) WHERE wake_ms IS NOT NULL;
