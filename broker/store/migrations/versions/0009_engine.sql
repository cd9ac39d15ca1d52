-- The delivery engine: whose a pseudonym is, and organisations that can be shared among their partitions.

-- Pseudonyms --------------------------------------------------------------------------------------------------------

-- For an organisation that asks about one of its subjects. Not an index of `lane`: each of that table's many updates
-- would write it anew, and what stands in it never changes.
CREATE TABLE pseudonym (
    organisation text NOT NULL,
    subject      text NOT NULL,
    person_id    bigint NOT NULL,
    PRIMARY KEY (organisation, subject, person_id)
);

CREATE FUNCTION lane_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unwaith.pseudonym SELECT organisation, subject, person_id FROM fresh ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER lane_inserted AFTER INSERT ON lane REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION lane_inserted();

INSERT INTO pseudonym SELECT organisation, subject, person_id FROM lane;   -- the trigger has locked out every writer

-- Organisations -----------------------------------------------------------------------------------------------------

-- Stored before it was asked that every partition's owner can send one at a time: what was stored is never refused.
UPDATE organisation SET definition = jsonb_set(definition, '{policy,concurrency}', definition->'partitions')
WHERE (definition->'policy'->>'concurrency')::int < (definition->>'partitions')::int;
