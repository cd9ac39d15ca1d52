-- Operations: counts kept as things happen, so that nobody has to count millions; replays; the operators' own trail.
--
-- A count is the sum of its slots. A writer adds to the slot of its own connection, so two writers hardly ever wait for
-- one row. Rows are taken in one order everywhere (delivery_count, delivery_owed, line_minute, each by its key), after
-- the lanes, so that nobody waits in a ring.

CREATE TABLE delivery_count (
    organisation text NOT NULL,
    tally        text NOT NULL,          -- a status, or 'accepted': counted when it is owed, and never again
    slot         integer NOT NULL,
    n            bigint NOT NULL,        -- of one slot it may be below zero
    PRIMARY KEY (organisation, tally, slot)
) WITH (fillfactor = 40, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

CREATE TABLE delivery_owed (             -- waiting, queued and published, by when they were first to be sent
    organisation text NOT NULL,
    since        timestamptz NOT NULL,   -- to ten seconds
    slot         integer NOT NULL,
    n            bigint NOT NULL,
    PRIMARY KEY (organisation, since, slot)
) WITH (fillfactor = 40, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE line_minute (               -- what happened in each of the last minutes
    minute       timestamptz NOT NULL,
    organisation text NOT NULL,
    event        text NOT NULL,          -- accepted, published, answered, deferred, withheld, undelivered, conflict
    code         text NOT NULL,          -- outcome or reason; empty where there is none
    slot         integer NOT NULL,
    n            bigint NOT NULL,
    PRIMARY KEY (minute, organisation, event, code, slot)
) WITH (fillfactor = 40, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.05);

CREATE FUNCTION delivery_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unwaith.delivery_count AS c (organisation, tally, slot, n)
    SELECT organisation, tally, pg_backend_pid() % 16, n FROM (
        SELECT organisation, status AS tally, count(*) AS n FROM fresh GROUP BY 1, 2
        UNION ALL SELECT organisation, 'accepted', count(*) FROM fresh GROUP BY 1
    ) counted ORDER BY 1, 2
    ON CONFLICT (organisation, tally, slot) DO UPDATE SET n = c.n + excluded.n;

    INSERT INTO unwaith.delivery_owed AS o (organisation, since, slot, n)
    SELECT organisation, date_bin('10 seconds', due, 'epoch'), pg_backend_pid() % 16, count(*)
    FROM fresh WHERE status IN ('waiting', 'queued', 'published') GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (organisation, since, slot) DO UPDATE SET n = o.n + excluded.n;

    INSERT INTO unwaith.line_minute AS m (minute, organisation, event, code, slot, n)
    SELECT date_trunc('minute', now()), organisation, 'accepted', '', pg_backend_pid() % 16, count(*)
    FROM fresh GROUP BY organisation ORDER BY organisation
    ON CONFLICT (minute, organisation, event, code, slot) DO UPDATE SET n = m.n + excluded.n;
    RETURN NULL;
END $$;

CREATE FUNCTION delivery_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- What was minus what is, without looking for which row became which.
    INSERT INTO unwaith.delivery_count AS c (organisation, tally, slot, n)
    SELECT organisation, status, pg_backend_pid() % 16, sum(n) FROM (
        SELECT organisation, status, 1 AS n FROM after UNION ALL SELECT organisation, status, -1 FROM before
    ) moved GROUP BY 1, 2 HAVING sum(n) <> 0 ORDER BY 1, 2
    ON CONFLICT (organisation, tally, slot) DO UPDATE SET n = c.n + excluded.n;
    IF NOT FOUND THEN
        RETURN NULL;     -- a lane claimed again: the relay's commonest update
    END IF;

    INSERT INTO unwaith.delivery_owed AS o (organisation, since, slot, n)
    SELECT organisation, date_bin('10 seconds', due, 'epoch'), pg_backend_pid() % 16, sum(n) FROM (
        SELECT organisation, status, due, 1 AS n FROM after UNION ALL SELECT organisation, status, due, -1 FROM before
    ) moved WHERE status IN ('waiting', 'queued', 'published') GROUP BY 1, 2 HAVING sum(n) <> 0 ORDER BY 1, 2
    ON CONFLICT (organisation, since, slot) DO UPDATE SET n = o.n + excluded.n;

    INSERT INTO unwaith.line_minute AS m (minute, organisation, event, code, slot, n)
    SELECT date_trunc('minute', now()), organisation, 'published', '', pg_backend_pid() % 16, sum(n) FROM (
        SELECT organisation, 1 AS n FROM after WHERE published_at IS NOT NULL
        UNION ALL SELECT organisation, -1 FROM before WHERE published_at IS NOT NULL
    ) moved GROUP BY organisation HAVING sum(n) > 0 ORDER BY organisation
    ON CONFLICT (minute, organisation, event, code, slot) DO UPDATE SET n = m.n + excluded.n;
    RETURN NULL;
END $$;

CREATE FUNCTION delivery_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Nothing of ours deletes a delivery. If somebody does, accepted no longer is the sum, and that is to be seen.
    INSERT INTO unwaith.delivery_count AS c (organisation, tally, slot, n)
    SELECT organisation, status, pg_backend_pid() % 16, -count(*) FROM gone GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (organisation, tally, slot) DO UPDATE SET n = c.n + excluded.n;
    RETURN NULL;
END $$;

CREATE FUNCTION receipt_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unwaith.line_minute AS m (minute, organisation, event, code, slot, n)
    SELECT date_trunc('minute', now()), d.organisation,
           CASE WHEN r.effect = 'conflict' THEN 'conflict'
                WHEN r.effect = 'raised' AND r.status = 'undelivered' THEN 'undelivered'
                ELSE r.kind END,
           coalesce(CASE WHEN r.kind = 'answered' THEN r.outcome ELSE r.reason END, ''), pg_backend_pid() % 16, count(*)
    FROM fresh r JOIN unwaith.delivery d ON d.id = r.delivery_id
    WHERE r.effect <> 'noted'
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (minute, organisation, event, code, slot) DO UPDATE SET n = m.n + excluded.n;
    RETURN NULL;
END $$;

CREATE TRIGGER delivery_inserted AFTER INSERT ON delivery REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION delivery_inserted();
CREATE TRIGGER delivery_updated AFTER UPDATE ON delivery REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION delivery_updated();
CREATE TRIGGER delivery_deleted AFTER DELETE ON delivery REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION delivery_deleted();
CREATE TRIGGER receipt_inserted AFTER INSERT ON receipt REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION receipt_inserted();

-- What is there already; making the triggers has locked out every writer until this is committed.
INSERT INTO delivery_count SELECT organisation, status, 0, count(*) FROM delivery GROUP BY 1, 2;
INSERT INTO delivery_count SELECT organisation, 'accepted', 0, count(*) FROM delivery GROUP BY 1;
INSERT INTO delivery_owed SELECT organisation, date_bin('10 seconds', due, 'epoch'), 0, count(*) FROM delivery
    WHERE status IN ('waiting', 'queued', 'published') GROUP BY 1, 2;

-- Lanes between two tries. Whatever moves a row in or out of here changes `due` too, so no cheap update is lost by it.
CREATE INDEX lane_between_tries ON lane (organisation, due) WHERE occupant IS NOT NULL AND NOT in_flight;

-- Pauses ---------------------------------------------------------------------------------------------------------

ALTER TABLE organisation ADD COLUMN paused_note text;   -- a short code beside the reason: of a ticket, an incident

-- Replays --------------------------------------------------------------------------------------------------------

ALTER TABLE delivery ADD COLUMN replayed_at timestamptz;   -- by the last replay: from then its horizon is counted

-- What became undelivered, by when. On receipts, which never change: an index that names a delivery's status would make
-- every rise of a status write all of that table's indexes anew.
CREATE INDEX receipt_undelivered ON receipt (at, id) INCLUDE (delivery_id)
    WHERE status = 'undelivered' AND effect = 'raised';

CREATE TABLE replay (                    -- one act of an operator's; carried out in steps by whoever comes
    id           uuid PRIMARY KEY,
    organisation text NOT NULL REFERENCES organisation,
    delivery_id  uuid REFERENCES delivery,   -- this one alone
    since        timestamptz,            -- or those that became undelivered from then
    upto         timestamptz,            -- until before then
    reason       text NOT NULL,
    note         text NOT NULL,
    actor        text NOT NULL,
    asked_at     timestamptz NOT NULL,
    expected     bigint NOT NULL,        -- as the preview said
    replayed     bigint NOT NULL DEFAULT 0,
    refused      jsonb NOT NULL DEFAULT '{}',   -- how many by refusal
    after_at     timestamptz,            -- how far it has come
    after_id     uuid,
    ended_at     timestamptz,
    CHECK ((delivery_id IS NULL) = (since IS NOT NULL AND upto IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX replay_under_way ON replay (asked_at) WHERE ended_at IS NULL;

-- The operators' own acts, in the ledger itself ---------------------------------------------------------------------

ALTER TABLE audit_leaf ADD COLUMN by_operator boolean NOT NULL DEFAULT false;
CREATE INDEX audit_leaf_by_operator ON audit_leaf (id) WHERE by_operator;
