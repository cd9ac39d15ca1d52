-- Confirmations: what registrars have said of deaths. Both what was told and what was said are keyed digests here.

ALTER TABLE hold ADD COLUMN registration bytea;   -- of the number of the entry, where a registrar must confirm it
ALTER TABLE hold ADD COLUMN fact bytea;           -- of that number and the date of death, as it was told
ALTER TABLE hold ADD CONSTRAINT hold_confirmable CHECK (reason <> 'awaits_registrar' OR (registration IS NOT NULL AND fact IS NOT NULL));
CREATE INDEX hold_registration ON hold (registration) WHERE ended_at IS NULL AND reason = 'awaits_registrar';

CREATE TABLE confirmation (
    organisation text NOT NULL REFERENCES organisation,   -- the registrar
    registration bytea NOT NULL,
    facts        bytea[] NOT NULL,                        -- of the day, its month and its year: all may be what was told
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (registration, organisation)
);
