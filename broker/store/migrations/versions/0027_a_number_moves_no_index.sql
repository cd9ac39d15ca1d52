-- A delivery that was given its number was written anew with an entry in each of its five indexes, because three of them
-- knew of the number. Now none does, and room is kept on each page for what becomes of its rows while they are on their way.
ALTER TABLE lane ADD COLUMN owed_from bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN lane.owed_from IS
    'Nothing before this ordinal is owed without a number: what was told when nothing was owed raises it, a replay of what never had a number, or what takes a change back, lowers it.';

CREATE INDEX delivery_of_lane ON delivery (person_id, organisation, ordinal);
CREATE INDEX delivery_of_organisation ON delivery (organisation, id);
ALTER TABLE delivery DROP CONSTRAINT delivery_person_id_organisation_sequence_key;
DROP INDEX delivery_unnumbered, delivery_sent;
ALTER TABLE delivery SET (fillfactor = 45);
