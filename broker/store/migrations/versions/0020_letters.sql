-- Letters to the contacts of organisations: that a change of how they are reached was asked for, and what became of it.

CREATE TABLE contact_letter (
    id           uuid PRIMARY KEY,
    proposal_id  uuid NOT NULL REFERENCES proposal,
    what         text NOT NULL CHECK (what IN ('proposed', 'in_force', 'rejected')),
    pauses       boolean NOT NULL,          -- nothing is sent to the organisation while it waits
    organisation text NOT NULL REFERENCES organisation,
    email        text,                      -- as it stood in the register; null once it was sent or given up
    language     text NOT NULL CHECK (language IN ('cy', 'en')),
    status       text NOT NULL DEFAULT 'owed' CHECK (status IN ('owed', 'sent', 'given_up')),
    attempts     integer NOT NULL DEFAULT 0,
    due          timestamptz NOT NULL,
    since        timestamptz NOT NULL,
    ended_at     timestamptz,
    reason       text,
    CHECK ((status = 'owed') = (email IS NOT NULL))
);
CREATE INDEX contact_letter_due ON contact_letter (due) WHERE status = 'owed';
CREATE INDEX contact_letter_proposal ON contact_letter (proposal_id);
