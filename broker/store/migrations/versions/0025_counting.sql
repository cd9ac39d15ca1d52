-- Counting: what a statement moved is looked at once, and a receipt's delivery with it.

-- As 0013 has it, in one look at what was and what is instead of seven: first what moved, of which there is little
-- however many rows a statement had, and then the sums of that.
CREATE OR REPLACE FUNCTION delivery_updated() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    organisations text[]; statuses text[]; sinces timestamptz[]; published boolean[]; tooks text[]; ns bigint[];
BEGIN
    -- What was minus what is, without looking for which row became which.
    SELECT array_agg(organisation), array_agg(status), array_agg(since), array_agg(sent), array_agg(took), array_agg(n)
    INTO organisations, statuses, sinces, published, tooks, ns
    FROM (
        SELECT organisation, status, date_bin('10 seconds', due, 'epoch') AS since, published_at IS NOT NULL AS sent,
               CASE WHEN status IN ('received', 'needs_review', 'rejected', 'not_matched', 'already_current', 'applied')
                    THEN unwaith.half_octave(coalesce(replayed_at, due)) END AS took, sum(n) AS n
        FROM (
            SELECT organisation, status, due, published_at, replayed_at, 1 AS n FROM after
            UNION ALL SELECT organisation, status, due, published_at, replayed_at, -1 FROM before
        ) both_ways GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0
    ) moved;
    IF organisations IS NULL THEN
        RETURN NULL;     -- a lane claimed again: the relay's commonest update
    END IF;

    INSERT INTO unwaith.delivery_count AS c (organisation, tally, slot, n)
    SELECT organisation, status, pg_backend_pid() % 16, sum(n)
    FROM unnest(organisations, statuses, ns) AS moved(organisation, status, n)
    GROUP BY 1, 2 HAVING sum(n) <> 0 ORDER BY 1, 2
    ON CONFLICT (organisation, tally, slot) DO UPDATE SET n = c.n + excluded.n;

    INSERT INTO unwaith.delivery_owed AS o (organisation, since, slot, n)
    SELECT organisation, since, pg_backend_pid() % 16, sum(n)
    FROM unnest(organisations, statuses, sinces, ns) AS moved(organisation, status, since, n)
    WHERE status IN ('waiting', 'queued', 'published') GROUP BY 1, 2 HAVING sum(n) <> 0 ORDER BY 1, 2
    ON CONFLICT (organisation, since, slot) DO UPDATE SET n = o.n + excluded.n;

    INSERT INTO unwaith.line_minute AS m (minute, organisation, event, code, slot, n)
    SELECT date_trunc('minute', now()), organisation, event, code, pg_backend_pid() % 16, sum(n) FROM (
        SELECT organisation, 'published' AS event, '' AS code, n
        FROM unnest(organisations, published, ns) AS moved(organisation, sent, n) WHERE sent
        UNION ALL SELECT organisation, 'took', took, n
        FROM unnest(organisations, tooks, ns) AS moved(organisation, took, n) WHERE took IS NOT NULL
    ) moved GROUP BY 2, 3, 4 HAVING sum(n) > 0 ORDER BY 2, 3, 4
    ON CONFLICT (minute, organisation, event, code, slot) DO UPDATE SET n = m.n + excluded.n;
    RETURN NULL;
END $$;

-- Each receipt's delivery was looked for twice: by its foreign key, row by row, and here, all at once, to count it. Now
-- it is looked for once: where there is none, nobody's is counted, and that is refused (`organisation` is not null).
-- That a delivery with receipts stays is seen to by its content, which refers to it.
CREATE OR REPLACE FUNCTION receipt_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unwaith.line_minute AS m (minute, organisation, event, code, slot, n)
    SELECT date_trunc('minute', now()), d.organisation,
           CASE WHEN r.effect = 'conflict' THEN 'conflict'
                WHEN r.effect = 'raised' AND r.status = 'undelivered' THEN 'undelivered'
                ELSE r.kind END,
           coalesce(CASE WHEN r.kind = 'answered' THEN r.outcome ELSE r.reason END, ''), pg_backend_pid() % 16, count(*)
    FROM fresh r LEFT JOIN unwaith.delivery d ON d.id = r.delivery_id
    WHERE r.effect <> 'noted' OR d.id IS NULL
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (minute, organisation, event, code, slot) DO UPDATE SET n = m.n + excluded.n;
    RETURN NULL;
END $$;
ALTER TABLE receipt DROP CONSTRAINT receipt_delivery_id_fkey;
