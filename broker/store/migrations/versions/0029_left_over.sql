-- Left over: holds of who was erased end, letters that were given up are found, a hold's time is no organisation's.

-- Nobody can decide on what nobody can read any more: its time is over, and what it held is withheld at the gate.
CREATE FUNCTION person_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE unwaith.hold SET until = now() WHERE person_id = NEW.id AND ended_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER person_erased AFTER UPDATE OF erased_at ON person
    FOR EACH ROW WHEN (OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL) EXECUTE FUNCTION person_erased();
UPDATE hold SET until = now() FROM person p WHERE p.id = hold.person_id AND p.erased_at IS NOT NULL AND ended_at IS NULL;

CREATE INDEX contact_letter_given_up ON contact_letter (organisation, ended_at) WHERE status = 'given_up';

-- As 0025 has it, but that an answer is timed from when it was to be sent last: what was replayed while it was held waited
-- for whoever decided, not for its organisation.
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
                    THEN unwaith.half_octave(greatest(replayed_at, nullif(due, 'infinity'))) END AS took, sum(n) AS n
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
