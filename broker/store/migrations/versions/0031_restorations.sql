-- From which number lanes go on after the store was restored from a backup: see broker/store/restoring.py.
CREATE TABLE restoration (
    sequence_from bigint PRIMARY KEY,       -- no lane had it or one above it; the next in each is above it
    at            timestamptz NOT NULL DEFAULT now()
);
