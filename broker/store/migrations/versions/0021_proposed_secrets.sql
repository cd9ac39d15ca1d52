-- Secrets of organisations are proposed too: sealed at once, and no longer here when it is decided.

ALTER TABLE proposal DROP CONSTRAINT proposal_kind_check;
ALTER TABLE proposal ADD CONSTRAINT proposal_kind_check
    CHECK (kind IN ('agreement', 'organisation', 'client', 'body', 'secret'));

CREATE TABLE proposed_secret (
    proposal_id uuid PRIMARY KEY REFERENCES proposal,
    name        text NOT NULL,              -- as table secret will have it; the sealed bytes are bound to it
    generation  integer NOT NULL REFERENCES key_generation,
    wrapped     bytea NOT NULL              -- the proposal's document has its SHA-256
);
