-- Tracking: records set aside and who looked at them, how long an organisation was paused, draining, and a configuration
-- whose version rises only when something in it changed.

-- Quarantine -------------------------------------------------------------------------------------------------------

ALTER TABLE quarantine
    ADD COLUMN delivery_id uuid,         -- which delivery it was about, where that could be read; it may be unknown here
    ADD COLUMN examined_at timestamptz,  -- somebody looked at it: no longer an alarm
    ADD COLUMN examined_note text;       -- the code of a ticket
CREATE INDEX quarantine_unexamined ON quarantine (at) WHERE examined_at IS NULL;

-- Pauses -----------------------------------------------------------------------------------------------------------

ALTER TABLE organisation ADD COLUMN draining boolean NOT NULL DEFAULT false;
-- Paused, but what is with workers and in the log already is still sent.

CREATE TABLE pause (                     -- while nothing might be sent to an organisation; no horizon runs meanwhile
    organisation text NOT NULL REFERENCES organisation,
    began_at     timestamptz NOT NULL,
    ended_at     timestamptz,            -- null while it lasts
    PRIMARY KEY (organisation, began_at)
);
INSERT INTO pause SELECT id, paused_at, NULL FROM organisation WHERE paused_at IS NOT NULL;

CREATE FUNCTION organisation_paused() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.paused_at IS NOT NULL THEN
        UPDATE unwaith.pause SET ended_at = now() WHERE organisation = OLD.id AND ended_at IS NULL;
    END IF;
    IF NEW.paused_at IS NOT NULL THEN
        INSERT INTO unwaith.pause VALUES (NEW.id, NEW.paused_at, NULL) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER organisation_paused AFTER UPDATE OF paused_at ON organisation
    FOR EACH ROW WHEN (OLD.paused_at IS DISTINCT FROM NEW.paused_at) EXECUTE FUNCTION organisation_paused();

-- The configuration's version --------------------------------------------------------------------------------------
-- A statement that changes nothing (an organisation registered again as it is) made every process read everything anew.
-- Its row is locked before any row it tells of, everywhere, so that two who change two organisations wait in no ring.

CREATE FUNCTION configuration_changing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM unwaith.configuration FOR UPDATE;
    RETURN NULL;
END $$;

DROP TRIGGER organisation_changed ON organisation;
DROP TRIGGER agreement_changed ON agreement;
DROP TRIGGER client_changed ON client;

CREATE TRIGGER organisation_changing BEFORE INSERT OR UPDATE OR DELETE ON organisation
    FOR EACH STATEMENT EXECUTE FUNCTION configuration_changing();
CREATE TRIGGER organisation_come_or_gone AFTER INSERT OR DELETE ON organisation
    FOR EACH ROW EXECUTE FUNCTION configuration_changed();
CREATE TRIGGER organisation_changed AFTER UPDATE ON organisation
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION configuration_changed();

CREATE TRIGGER agreement_changing BEFORE INSERT OR UPDATE OR DELETE ON agreement
    FOR EACH STATEMENT EXECUTE FUNCTION configuration_changing();
CREATE TRIGGER agreement_come_or_gone AFTER INSERT OR DELETE ON agreement
    FOR EACH ROW EXECUTE FUNCTION configuration_changed();
CREATE TRIGGER agreement_changed AFTER UPDATE ON agreement
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION configuration_changed();

CREATE TRIGGER client_changing BEFORE INSERT OR UPDATE OR DELETE ON client
    FOR EACH STATEMENT EXECUTE FUNCTION configuration_changing();
CREATE TRIGGER client_come_or_gone AFTER INSERT OR DELETE ON client
    FOR EACH ROW EXECUTE FUNCTION configuration_changed();
CREATE TRIGGER client_changed AFTER UPDATE ON client
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION configuration_changed();

-- Catching up --------------------------------------------------------------------------------------------------------

-- For an organisation's walk through all it was ever sent. A delivery enters it with its sequence, and never moves.
CREATE INDEX delivery_sent ON delivery (organisation, id) WHERE sequence IS NOT NULL;

-- Replays ------------------------------------------------------------------------------------------------------------

ALTER TABLE replay
    ADD COLUMN delivery_ids uuid[],      -- or these
    ADD COLUMN per_minute   integer CHECK (per_minute > 0),   -- null: as fast as it goes
    ADD COLUMN next_at      timestamptz, -- with a rate: no step before then
    ADD COLUMN cancelled_at timestamptz, -- ended by an operator before its end; what was replayed until then stays so
    DROP CONSTRAINT replay_check,
    ADD CONSTRAINT replay_asks_one_thing CHECK (
        num_nonnulls(delivery_id, delivery_ids, since) = 1 AND (since IS NULL) = (upto IS NULL)
    );
