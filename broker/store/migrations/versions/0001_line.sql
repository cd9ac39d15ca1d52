-- The line: people and their keys, who takes part, changes, deliveries and their lanes, receipts, the audit leaves.
-- Everything personal is ciphertext here; pseudonyms and digests are keyed.

-- Keys ---------------------------------------------------------------------------------------------------------

CREATE TABLE key_generation (
    generation integer PRIMARY KEY,
    wrapped    bytea NOT NULL,          -- the key-encryption key, wrapped by the root key
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE secret (                    -- keys of ours and of organisations, each for one purpose
    name       text PRIMARY KEY,
    generation integer NOT NULL REFERENCES key_generation,
    wrapped    bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- People -------------------------------------------------------------------------------------------------------

CREATE TABLE person (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    last_ordinal bigint NOT NULL DEFAULT 0,   -- of their changes; gapless under this row's lock
    created_at   timestamptz NOT NULL DEFAULT now(),
    erased_at    timestamptz                  -- the tombstone that tells erasure from an unknown key
) WITH (fillfactor = 70);

CREATE TABLE account (                   -- (issuer, sub) as a keyed digest
    digest    bytea PRIMARY KEY,
    person_id bigint NOT NULL REFERENCES person
);

CREATE TABLE person_key (                -- deleted on erasure, which shreds the store and the log at once
    person_id      bigint PRIMARY KEY REFERENCES person,
    generation     integer NOT NULL DEFAULT 1,
    kek_generation integer NOT NULL REFERENCES key_generation,
    wrapped        bytea NOT NULL
);

-- Who takes part -----------------------------------------------------------------------------------------------

CREATE TABLE organisation (
    id            text PRIMARY KEY,
    definition    jsonb NOT NULL,        -- contracts.Organisation
    paused_reason text,                  -- not null: nothing is claimed, fetched or granted for it
    paused_at     timestamptz
);

CREATE TABLE agreement (
    id           text NOT NULL,
    version      integer NOT NULL,
    organisation text NOT NULL REFERENCES organisation,
    definition   jsonb NOT NULL,         -- contracts.Agreement; a version never changes
    revoked_at   timestamptz,
    PRIMARY KEY (id, version)
);

CREATE TABLE client (                    -- an organisation's software, by its registered public keys
    client_id    text PRIMARY KEY,
    organisation text NOT NULL REFERENCES organisation,
    jwks         jsonb NOT NULL,
    scopes       text[] NOT NULL
);

CREATE TABLE used_assertion (            -- client assertions are good once (RFC 7523, section 3)
    client_id text NOT NULL,
    jti       bytea NOT NULL,            -- SHA-256 of the id: bounded, whatever was sent
    until     timestamptz NOT NULL,
    PRIMARY KEY (client_id, jti)
);
CREATE INDEX used_assertion_until ON used_assertion (until);

CREATE TABLE configuration (             -- one row; its version rises with every change of the three tables above
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL DEFAULT 0
);
INSERT INTO configuration DEFAULT VALUES;

CREATE FUNCTION configuration_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE unwaith.configuration SET version = version + 1;
    PERFORM pg_notify('unwaith_configuration', '');
    RETURN NULL;
END $$;
CREATE TRIGGER organisation_changed AFTER INSERT OR UPDATE OR DELETE ON organisation
    FOR EACH STATEMENT EXECUTE FUNCTION configuration_changed();
CREATE TRIGGER agreement_changed AFTER INSERT OR UPDATE OR DELETE ON agreement
    FOR EACH STATEMENT EXECUTE FUNCTION configuration_changed();
CREATE TRIGGER client_changed AFTER INSERT OR UPDATE OR DELETE ON client
    FOR EACH STATEMENT EXECUTE FUNCTION configuration_changed();

CREATE TRIGGER secret_changed AFTER INSERT OR UPDATE ON secret   -- a key organisations verify was replaced
    FOR EACH ROW WHEN (NEW.name LIKE 'webhook:%') EXECUTE FUNCTION configuration_changed();

CREATE TABLE place (                     -- the gazetteer: where an address lies
    uprn           bigint NOT NULL,
    language       text NOT NULL CHECK (language IN ('cy', 'en')),
    custodian_code integer NOT NULL,
    postal_code    text NOT NULL,
    address        jsonb NOT NULL,       -- contracts.Address
    invented       boolean NOT NULL,     -- the sandbox's sample, never to be taken for a real address
    PRIMARY KEY (uprn, language)
);
CREATE INDEX place_postal_code ON place (postal_code);

-- Changes ------------------------------------------------------------------------------------------------------

CREATE TABLE change_key (                -- Idempotency-Key, kept longer than any retry
    person_id   bigint NOT NULL,
    key         bytea NOT NULL,          -- keyed digest of what the client sent
    change_id   uuid NOT NULL,
    fingerprint bytea NOT NULL,          -- keyed digest of the body it came with
    PRIMARY KEY (person_id, key)
);

CREATE TABLE change (
    id          uuid PRIMARY KEY,
    person_id   bigint NOT NULL REFERENCES person,
    ordinal     bigint NOT NULL,         -- the person's n-th change
    reference   text NOT NULL UNIQUE,    -- what they can read out over the phone; no credential
    type        text NOT NULL,
    generation  integer NOT NULL,        -- of the person's key
    sealed      bytea NOT NULL,          -- what they told, sealed under their own key
    accepted_at timestamptz NOT NULL,
    UNIQUE (person_id, ordinal)
);

-- Lanes and deliveries -----------------------------------------------------------------------------------------
-- A lane is one person at one organisation; it is the schedule. Locks are always taken in lane order
-- (person, organisation), everywhere, so that nobody waits in a ring.

CREATE TABLE lane (
    person_id     bigint NOT NULL,
    organisation  text NOT NULL,
    subject       text NOT NULL,         -- the organisation's own pseudonym for the person
    last_sequence bigint NOT NULL DEFAULT 0,
    occupant      uuid,                  -- the numbered delivery nothing may overtake
    in_flight     boolean NOT NULL DEFAULT false,   -- claimed or published, no receipt yet
    claim         bigint NOT NULL DEFAULT 0,        -- rises with each claim and each receipt: a late mark finds it moved on
    due           timestamptz,           -- when the relay is to look here next; never later than the next due delivery
    granted_until timestamptz,
    PRIMARY KEY (person_id, organisation),
    CHECK (NOT in_flight OR occupant IS NOT NULL)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX lane_due ON lane (organisation, due) WHERE due IS NOT NULL;
CREATE INDEX lane_in_flight ON lane (organisation) WHERE in_flight;

CREATE TABLE delivery (
    id                uuid PRIMARY KEY,
    change_id         uuid NOT NULL REFERENCES change,
    person_id         bigint NOT NULL,
    organisation      text NOT NULL,
    ordinal           bigint NOT NULL,   -- of the change
    agreement         text NOT NULL,
    agreement_version integer NOT NULL,
    status            text NOT NULL CHECK (status IN (
        'waiting', 'queued', 'published', 'cancelled', 'superseded', 'undelivered', 'received', 'needs_review',
        'rejected', 'not_matched', 'already_current', 'applied')),
    epoch             integer NOT NULL DEFAULT 0,
    sequence          bigint,            -- given by the first claim, then never changed
    attempts          integer NOT NULL DEFAULT 0,
    unknowns          integer NOT NULL DEFAULT 0,
    due               timestamptz NOT NULL,   -- not sent before
    accepted_at       timestamptz NOT NULL,
    published_at      timestamptz,
    answered_at       timestamptz,
    reason            text,
    reference         text,              -- the organisation's own
    UNIQUE (person_id, organisation, sequence),
    UNIQUE (change_id, organisation)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX delivery_unnumbered ON delivery (person_id, organisation, ordinal) WHERE sequence IS NULL;

CREATE TABLE delivery_content (          -- apart from the row that changes: this one never does
    delivery_id uuid PRIMARY KEY REFERENCES delivery,
    generation  integer NOT NULL,
    origin      text NOT NULL,
    digest      bytea NOT NULL,
    sealed      bytea NOT NULL
);

-- Receipts -----------------------------------------------------------------------------------------------------

CREATE TABLE receipt (
    id          uuid PRIMARY KEY,
    delivery_id uuid NOT NULL REFERENCES delivery,
    epoch       integer NOT NULL,
    attempt     integer NOT NULL,
    kind        text NOT NULL,
    outcome     text,
    failure     text,
    reason      text,
    reference   text,
    at          timestamptz NOT NULL,
    folded_at   timestamptz NOT NULL DEFAULT now(),
    effect      text NOT NULL CHECK (effect IN ('raised', 'scheduled', 'noted', 'conflict')),
    status      text NOT NULL,           -- the delivery's, after it
    next_due    timestamptz
);
CREATE INDEX receipt_delivery ON receipt (delivery_id);

CREATE TABLE quarantine (
    topic         text NOT NULL,
    partition     integer NOT NULL,
    record_offset bigint NOT NULL,
    reason        text NOT NULL,
    at            timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, record_offset)
);

-- The ledger's leaves, as yet without their places in the tree --------------------------------------------------

CREATE TABLE audit_leaf (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    leaf       bytea NOT NULL,           -- canonical JSON, field names only
    tree_index bigint                    -- given by the sequencer, never by this table's id
);
CREATE UNIQUE INDEX audit_leaf_tree_index ON audit_leaf (tree_index) WHERE tree_index IS NOT NULL;
