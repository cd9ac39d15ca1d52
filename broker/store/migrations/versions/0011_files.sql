-- Files: which deliveries were closed together at a cut-off, in which order, under which name; and when the answers of
-- organisations that leave them to be fetched are fetched next.

CREATE TABLE batch_row (                 -- of each delivery the batch it was last closed in
    delivery_id  uuid PRIMARY KEY REFERENCES delivery,
    epoch        integer NOT NULL,       -- the delivery's then: once it is replayed it is closed anew
    organisation text NOT NULL,
    batch        text NOT NULL,          -- made of the deliveries in it (contracts.batches): a name never has other rows
    row          integer NOT NULL CHECK (row > 0),
    closed_at    timestamptz NOT NULL,
    UNIQUE (organisation, batch, row)
);

CREATE TABLE collection (                -- a row once answers have been fetched, or that was tried
    organisation text PRIMARY KEY REFERENCES organisation,
    due          timestamptz NOT NULL,   -- when they are next fetched; ahead while somebody does
    failures     integer NOT NULL DEFAULT 0,   -- in a row
    reason       text,                   -- of the last
    answered_at  timestamptz,            -- when answers last came
    silent       boolean NOT NULL DEFAULT false   -- something is unanswered by the time agreed, and nothing came for it
);
