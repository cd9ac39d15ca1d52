-- What one sample organisation was told, and what it made of it.

CREATE TABLE IF NOT EXISTS events (
    position    INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    type        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    sequence    INTEGER,                    -- absent where the way here carries none
    time        TEXT NOT NULL,
    origin      TEXT NOT NULL,
    digest      TEXT NOT NULL,
    data        BLOB NOT NULL,
    outcome     TEXT NOT NULL,              -- as answered at once, and again at every repeat
    reference   TEXT NOT NULL UNIQUE,
    receipts    INTEGER NOT NULL DEFAULT 1, -- how often this id arrived
    received_at TEXT NOT NULL
);

-- The highest sequence taken in for each person.
CREATE TABLE IF NOT EXISTS lanes (
    subject TEXT PRIMARY KEY,
    last    INTEGER NOT NULL
) WITHOUT ROWID;

-- What the exchange promised and did not keep.
CREATE TABLE IF NOT EXISTS violations (
    position INTEGER PRIMARY KEY,
    kind     TEXT NOT NULL CHECK (kind IN ('data', 'order', 'webhook_id')),
    event_id TEXT NOT NULL,
    at       TEXT NOT NULL
);

-- Answers to be given later.
CREATE TABLE IF NOT EXISTS owed_answers (
    id        TEXT PRIMARY KEY,
    event_id  TEXT NOT NULL UNIQUE REFERENCES events (id),
    due       REAL NOT NULL,                -- seconds since the epoch
    attempts  INTEGER NOT NULL DEFAULT 0,
    ended_at  TEXT,
    taken     INTEGER                       -- 1 when the exchange took it, 0 when it refused it for good
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS owed_answers_open ON owed_answers (due) WHERE ended_at IS NULL;
