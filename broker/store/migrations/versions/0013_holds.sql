-- Holds: what keeps a change from being sent, since when, until when or until who has decided, and what was decided.
--
-- A held delivery is due never, so that no statement of the line need know of holds: it is not the next of its lane and
-- does not occupy it. Locks are taken in one order: the person, then lanes in theirs, then holds.

ALTER TABLE delivery ADD COLUMN held_due timestamptz;   -- not null: held; when it was to be sent but for that
ALTER TABLE delivery ADD CONSTRAINT delivery_held CHECK (held_due IS NULL OR due = 'infinity');

CREATE TABLE hold (
    id         uuid PRIMARY KEY,
    change_id  uuid NOT NULL REFERENCES change,
    person_id  bigint NOT NULL REFERENCES person,
    reason     text NOT NULL,                -- contracts.holds.HoldReason
    placed_at  timestamptz NOT NULL,
    until      timestamptz,                  -- it lapses then by itself; null: until somebody decides
    ended_at   timestamptz,
    outcome    text,                         -- contracts.holds.HoldOutcome
    decided_by text,                         -- as the ledger names who did
    why        text,                         -- a code of a closed list
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
CREATE UNIQUE INDEX hold_open ON hold (change_id, reason) WHERE ended_at IS NULL;
CREATE INDEX hold_change ON hold (change_id);
CREATE INDEX hold_until ON hold (until) WHERE ended_at IS NULL AND until IS NOT NULL;
CREATE INDEX hold_undecided ON hold (placed_at, id) WHERE ended_at IS NULL AND until IS NULL;
CREATE INDEX hold_person ON hold (person_id) WHERE ended_at IS NULL;

-- As 0006 has it, but for the look at what is held: that changes when a delivery is to be sent, and not its status.
CREATE OR REPLACE FUNCTION delivery_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- What was minus what is, without looking for which row became which.
    INSERT INTO unwaith.delivery_count AS c (organisation, tally, slot, n)
    SELECT organisation, status, pg_backend_pid() % 16, sum(n) FROM (
        SELECT organisation, status, 1 AS n FROM after UNION ALL SELECT organisation, status, -1 FROM before
    ) moved GROUP BY 1, 2 HAVING sum(n) <> 0 ORDER BY 1, 2
    ON CONFLICT (organisation, tally, slot) DO UPDATE SET n = c.n + excluded.n;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM before WHERE held_due IS NOT NULL)
                 AND NOT EXISTS (SELECT FROM after WHERE held_due IS NOT NULL) THEN
        RETURN NULL;     -- a lane claimed again: the relay's commonest update
    END IF;

    INSERT INTO unwaith.delivery_owed AS o (organisation, since, slot, n)
    SELECT organisation, date_bin('10 seconds', due, 'epoch'), pg_backend_pid() % 16, sum(n) FROM (
        SELECT organisation, status, due, 1 AS n FROM after UNION ALL SELECT organisation, status, due, -1 FROM before
    ) moved WHERE status IN ('waiting', 'queued', 'published') GROUP BY 1, 2 HAVING sum(n) <> 0 ORDER BY 1, 2
    ON CONFLICT (organisation, since, slot) DO UPDATE SET n = o.n + excluded.n;

    INSERT INTO unwaith.line_minute AS m (minute, organisation, event, code, slot, n)
    SELECT date_trunc('minute', now()), organisation, event, code, pg_backend_pid() % 16, sum(n) FROM (
        SELECT organisation, 'published' AS event, '' AS code, 1 AS n FROM after WHERE published_at IS NOT NULL
        UNION ALL SELECT organisation, 'published', '', -1 FROM before WHERE published_at IS NOT NULL
        UNION ALL SELECT organisation, 'took', unwaith.half_octave(coalesce(replayed_at, due)), 1 FROM after
                  WHERE status IN ('received', 'needs_review', 'rejected', 'not_matched', 'already_current', 'applied')
        UNION ALL SELECT organisation, 'took', unwaith.half_octave(coalesce(replayed_at, due)), -1 FROM before
                  WHERE status IN ('received', 'needs_review', 'rejected', 'not_matched', 'already_current', 'applied')
    ) moved GROUP BY 2, 3, 4 HAVING sum(n) > 0 ORDER BY 2, 3, 4
    ON CONFLICT (minute, organisation, event, code, slot) DO UPDATE SET n = m.n + excluded.n;
    RETURN NULL;
END $$;
