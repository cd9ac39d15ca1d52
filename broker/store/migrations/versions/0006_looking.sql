-- Looking closer: how long deliveries take, and those a person must look at.

-- What organisations refused, could not match or must review, by when. On receipts, which never change; what became
-- undelivered has receipt_undelivered.
CREATE INDEX receipt_to_look_at ON receipt (status, at, id) INCLUDE (delivery_id)
    WHERE status IN ('needs_review', 'rejected', 'not_matched') AND effect = 'raised';

-- As 0004 has it, and `took`: how long deliveries took from when they were first to be sent (or replayed) until the
-- organisation had taken them in, as the n-th half octave of milliseconds. What was taken in before counts +1 and -1 in
-- one bucket, as both are seen from the same now(): so again no row is matched with what it was.
CREATE OR REPLACE FUNCTION delivery_updated() RETURNS trigger LANGUAGE plpgsql AS $$
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

-- The least n with 2^(n/2) milliseconds since then; 0 for less than one.
CREATE FUNCTION half_octave(began timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT ceil(2 / ln(2.0::float8) * ln(greatest(1.0, extract(epoch FROM now() - began)::float8 * 1000)))::int::text
$$;
