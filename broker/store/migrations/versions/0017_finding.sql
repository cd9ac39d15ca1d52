-- Finding addresses by their words. pg_trgm is not in every PostgreSQL we run on.

ALTER TABLE place ADD COLUMN found_by text NOT NULL DEFAULT '';   -- its words in one spelling, separated by spaces

CREATE TABLE found_at (                  -- the words of all addresses at a postcode, in both languages
    postal_code text PRIMARY KEY,
    words       text[] NOT NULL
);
CREATE INDEX found_at_words ON found_at USING gin (words) WITH (fastupdate = off);

CREATE TABLE meant (                     -- a word with one letter left out, and the word: two that share one differ little
    variant text NOT NULL,
    word    text NOT NULL,
    PRIMARY KEY (variant, word)
);
