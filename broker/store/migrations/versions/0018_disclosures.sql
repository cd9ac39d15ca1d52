-- Disclosures: when staff were shown what a person told, and why. Its person sees each.

CREATE TABLE disclosure (
    id        uuid PRIMARY KEY,
    change_id uuid NOT NULL REFERENCES change,
    actor     text NOT NULL,        -- as the ledger names who looked
    reason    text NOT NULL,        -- a code of a closed list
    at        timestamptz NOT NULL,
    until     timestamptz NOT NULL  -- not shown to them any longer
);
CREATE INDEX disclosure_change ON disclosure (change_id);
