-- Gazetteer: open data by editions. What is read is the edition in use, and that is never half.

CREATE TABLE gazetteer_edition (         -- every import, whatever became of it
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source    text NOT NULL CHECK (source IN ('open-uprn', 'code-point-open', 'onspd')),
    edition   text NOT NULL,             -- as its publisher calls it
    digest    bytea NOT NULL CHECK (length(digest) = 32),   -- SHA-256 of the file
    began_at  timestamptz NOT NULL DEFAULT now(),
    ended_at  timestamptz,               -- absent: under way, or cut short
    kept      bigint CHECK (kept > 0),   -- rows of it that are here
    elsewhere bigint,                    -- rows that were read and not kept: nobody here is asked about them
    bad       bigint,                    -- rows that could not be read
    in_use    boolean NOT NULL DEFAULT false,
    CHECK ((ended_at IS NULL) = (kept IS NULL)),
    CHECK (NOT in_use OR ended_at IS NOT NULL)
);
CREATE UNIQUE INDEX gazetteer_edition_in_use ON gazetteer_edition (source) WHERE in_use;

-- No foreign keys to the edition: looking it up for each of millions of rows takes longer than writing them.

CREATE TABLE postcode (                  -- Code-Point Open, ONSPD
    edition        integer NOT NULL,
    postal_code    text NOT NULL CHECK (postal_code !~ ' '),   -- packed: without its space
    custodian_code integer,              -- of the Welsh authority its middle lies in; absent: none, or not certain
    current        boolean NOT NULL,     -- not terminated
    easting        integer,              -- National Grid, metres
    northing       integer,
    PRIMARY KEY (edition, postal_code),
    CHECK ((easting IS NULL) = (northing IS NULL))
);

CREATE TABLE property_point (            -- OS Open UPRN
    edition  integer NOT NULL,
    uprn     bigint NOT NULL,
    easting  integer NOT NULL,
    northing integer NOT NULL,
    PRIMARY KEY (edition, uprn)
);
