-- Batches: which deliveries were closed together at a cut-off, in which order, under which name.

CREATE TABLE batch_row (                 -- of each delivery the batch it was last closed in
    delivery_id  uuid PRIMARY KEY REFERENCES delivery,
    epoch        integer NOT NULL,       -- the delivery's then: once it is replayed it is closed anew
    organisation text NOT NULL,
    batch        text NOT NULL,          -- made of the deliveries in it (contracts.batches): a name never has other rows
    row          integer NOT NULL CHECK (row > 0),
    closed_at    timestamptz NOT NULL,
    UNIQUE (organisation, batch, row)
);
