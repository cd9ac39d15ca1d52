-- An organisation's own software proposes too, and takes back what is not decided.

ALTER TABLE proposal_end DROP CONSTRAINT proposal_end_outcome_check;
ALTER TABLE proposal_end ADD CONSTRAINT proposal_end_outcome_check
    CHECK (outcome IN ('in_force', 'rejected', 'taken_back'));
ALTER TABLE contact_letter DROP CONSTRAINT contact_letter_what_check;
ALTER TABLE contact_letter ADD CONSTRAINT contact_letter_what_check
    CHECK (what IN ('proposed', 'in_force', 'rejected', 'taken_back'));

CREATE TABLE proposal_request (          -- what was proposed by software, and how it asked
    proposal_id  uuid PRIMARY KEY REFERENCES proposal,
    organisation text NOT NULL,
    client_id    text NOT NULL,
    key          bytea NOT NULL,         -- SHA-256 of its idempotency key
    body         bytea NOT NULL,         -- SHA-256 of what it asked for
    UNIQUE (client_id, key)
);
CREATE INDEX proposal_request_organisation ON proposal_request (organisation, proposal_id);
CREATE TRIGGER proposal_request_kept BEFORE UPDATE OR DELETE ON proposal_request
    FOR EACH ROW EXECUTE FUNCTION never_changed();
