-- The pages: sessions of each trust domain, sign-ins under way, and messages owed to people.

CREATE TABLE session (
    digest           bytea PRIMARY KEY,       -- keyed digest of the cookie; who reads this table can use no session
    domain           text NOT NULL,           -- citizen, staff: they never mix
    account          bytea NOT NULL,          -- keyed digest of (issuer, sub): to end every session of an account
    provider_session bytea,                   -- keyed digest of the provider's sid: to end it from there
    version          bigint NOT NULL DEFAULT 0,
    sealed           bytea NOT NULL,          -- who, tokens, answers; bound to digest and domain
    created_at       timestamptz NOT NULL,
    seen_at          timestamptz NOT NULL,
    ends_at          timestamptz NOT NULL     -- whatever happens
) WITH (fillfactor = 70);
CREATE INDEX session_account ON session (domain, account);
CREATE INDEX session_provider_session ON session (domain, provider_session) WHERE provider_session IS NOT NULL;
CREATE INDEX session_seen_at ON session (domain, seen_at);

CREATE TABLE sign_in (                         -- under way at a provider: each answer is taken once
    state   bytea PRIMARY KEY,                -- keyed digest
    domain  text NOT NULL,
    browser bytea NOT NULL,                   -- keyed digest of the cookie of the browser that began it
    sealed  bytea NOT NULL,                   -- nonce, verifier, where to go on
    until   timestamptz NOT NULL
);
CREATE INDEX sign_in_until ON sign_in (until);

CREATE TABLE notice (                          -- a message to a person; it never says what changed
    id         uuid PRIMARY KEY,
    change_id  uuid NOT NULL REFERENCES change,
    person_id  bigint NOT NULL REFERENCES person,
    kind       text NOT NULL CHECK (kind IN ('confirmation')),
    generation integer NOT NULL,              -- of the person's key
    sealed     bytea NOT NULL,                -- where to, in which language; under the person's own key
    status     text NOT NULL DEFAULT 'owed' CHECK (status IN ('owed', 'sent', 'given_up')),
    attempts   integer NOT NULL DEFAULT 0,
    due        timestamptz NOT NULL,
    since      timestamptz NOT NULL,
    ended_at   timestamptz,
    reason     text
) WITH (fillfactor = 70);
CREATE INDEX notice_due ON notice (due) WHERE status = 'owed';
CREATE INDEX notice_change ON notice (change_id);
