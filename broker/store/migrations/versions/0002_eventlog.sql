-- The event log: topics, partitions, records and how far each group has come.

CREATE TABLE log_topic (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    family     text NOT NULL,             -- of contracts.topics; decides how long records are kept
    partitions integer NOT NULL CHECK (partitions > 0)  -- never changes: keys would move and lose their order
);

CREATE TABLE log_partition (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic_id integer NOT NULL REFERENCES log_topic,
    number   integer NOT NULL CHECK (number >= 0),
    next     bigint NOT NULL DEFAULT 0,   -- the offset of the next record; its row lock makes offsets gapless
    UNIQUE (topic_id, number)
) WITH (fillfactor = 50);

CREATE TABLE log_record (                 -- by family, then by day: what has outlived its retention is dropped whole
    family       text NOT NULL,
    day          date NOT NULL,
    partition_id integer NOT NULL,
    position     bigint NOT NULL,
    key          bytea NOT NULL,
    headers      bytea NOT NULL,
    value        bytea NOT NULL,
    PRIMARY KEY (partition_id, position, family, day)
) PARTITION BY LIST (family);

CREATE TABLE log_group (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE log_commit (
    group_id     integer NOT NULL REFERENCES log_group,
    partition_id integer NOT NULL REFERENCES log_partition,
    upto         bigint NOT NULL,         -- everything below is done; only rises
    PRIMARY KEY (group_id, partition_id)
) WITH (fillfactor = 50);

-- Make room for today and tomorrow, and drop the days that ended more than `keep` days ago.
CREATE FUNCTION log_tend(family_name text, today date, keep integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    family_table text := 'log_record_' || family_name;
    leaf text;
    one date;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('unwaith.log_tend', 0));
    IF to_regclass(format('unwaith.%I', family_table)) IS NULL THEN
        EXECUTE format('CREATE TABLE unwaith.%I PARTITION OF unwaith.log_record FOR VALUES IN (%L) PARTITION BY RANGE (day)',
                       family_table, family_name);
    END IF;
    FOREACH one IN ARRAY ARRAY[today, today + 1] LOOP
        leaf := family_table || to_char(one, '_YYYYMMDD');
        IF to_regclass(format('unwaith.%I', leaf)) IS NULL THEN
            -- Attaching waits for nobody who reads or appends; creating it as a partition would.
            EXECUTE format('CREATE TABLE unwaith.%I (LIKE unwaith.log_record INCLUDING ALL)', leaf);
            EXECUTE format('ALTER TABLE unwaith.%I ATTACH PARTITION unwaith.%I FOR VALUES FROM (%L) TO (%L)',
                           family_table, leaf, one, one + 1);
        END IF;
    END LOOP;
    FOR leaf IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass(format('unwaith.%I', family_table))
          AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 + keep <= today
    LOOP
        EXECUTE format('DROP TABLE unwaith.%I', leaf);
    END LOOP;
END $$;
