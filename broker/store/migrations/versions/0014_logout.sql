-- Providers' words that somebody signed out there: each is good once.

CREATE TABLE logout_word (
    domain text NOT NULL,                    -- citizen, staff: their providers differ
    jti    bytea NOT NULL,                   -- SHA-256 of the token's name
    until  timestamptz NOT NULL,             -- the token cannot be used any more
    PRIMARY KEY (domain, jti)
);
CREATE INDEX logout_word_until ON logout_word (until);
