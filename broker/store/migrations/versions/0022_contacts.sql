-- Contacts: where each person is written to, and where they were before that; links in letters, which only hold.

CREATE TABLE contact (
    person_id       bigint PRIMARY KEY REFERENCES person,
    id              uuid NOT NULL,          -- what the address is sealed to
    generation      integer NOT NULL,       -- of the person's key
    sealed          bytea NOT NULL,
    previous_id     uuid,
    previous_sealed bytea,
    changed_at      timestamptz             -- null: it never was another
);

ALTER TABLE notice DROP CONSTRAINT notice_kind_check;
ALTER TABLE notice ADD CONSTRAINT notice_kind_check CHECK (kind IN ('confirmation', 'old_contact'));
ALTER TABLE notice ADD COLUMN link bytea;   -- keyed digest of the token in the letter, good for holding its change
CREATE UNIQUE INDEX notice_link ON notice (link) WHERE link IS NOT NULL;
