-- Delivery: where organisations' breakers stand, shared by all workers.

CREATE TABLE breaker (                   -- no row: it was never open
    organisation text PRIMARY KEY REFERENCES organisation,
    phase        text NOT NULL CHECK (phase IN ('closed', 'open', 'probing', 'ramping')),
    since        timestamptz NOT NULL,
    until        timestamptz,            -- the next probe; the probe counts as lost; all is well again
    probes       integer NOT NULL,       -- that failed, and relapses, since it was last closed
    version      bigint NOT NULL,
    CHECK ((phase = 'closed') = (until IS NULL))
);
