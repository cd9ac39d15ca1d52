-- Answers: when those of organisations that leave them to be fetched are fetched next, and how that went.

CREATE TABLE collection (                -- a row once answers have been fetched, or that was tried
    organisation text PRIMARY KEY REFERENCES organisation,
    due          timestamptz NOT NULL,   -- when they are next fetched; ahead while somebody does
    failures     integer NOT NULL DEFAULT 0,   -- in a row
    reason       text,                   -- of the last
    answered_at  timestamptz,            -- when answers last came
    silent       boolean NOT NULL DEFAULT false   -- something is unanswered by the time agreed, and nothing came for it
);
