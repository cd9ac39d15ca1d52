-- People who told changes with an account they no longer have, and who decided that the changes are theirs.

ALTER TABLE change ADD COLUMN verified bytea;   -- name and birth date as verified, digested under the person's own key

CREATE TABLE joining (
    id       uuid PRIMARY KEY,
    asked_by bigint NOT NULL REFERENCES person,   -- of the new account
    earlier  bigint REFERENCES person,            -- null: what was verified does not agree, and nobody is named
    account  bytea NOT NULL,                      -- the new account, as in account
    sessions bytea NOT NULL,                      -- the same, as in session: another key digests it there
    asked_at timestamptz NOT NULL,
    CHECK (earlier <> asked_by)
);
CREATE INDEX joining_asked_by ON joining (asked_by, asked_at);

CREATE TABLE joining_approval (                   -- a person once
    joining_id  uuid NOT NULL REFERENCES joining,
    approved_by text NOT NULL,
    approved_at timestamptz NOT NULL,
    reason      text NOT NULL,
    note        text NOT NULL,
    PRIMARY KEY (joining_id, approved_by)
);

CREATE TABLE joining_end (
    joining_id uuid PRIMARY KEY REFERENCES joining,
    outcome    text NOT NULL CHECK (outcome IN ('not_agreed', 'repeated', 'refused', 'joined')),
    ended_by   text NOT NULL,
    ended_at   timestamptz NOT NULL,
    reason     text,
    note       text,
    CHECK ((outcome = 'refused') = (reason IS NOT NULL))
);
CREATE INDEX joining_end_outcome ON joining_end (outcome, ended_at);

CREATE TRIGGER joining_kept BEFORE UPDATE OR DELETE ON joining FOR EACH ROW EXECUTE FUNCTION never_changed();
CREATE TRIGGER joining_approval_kept BEFORE UPDATE OR DELETE ON joining_approval
    FOR EACH ROW EXECUTE FUNCTION never_changed();
CREATE TRIGGER joining_end_kept BEFORE UPDATE OR DELETE ON joining_end FOR EACH ROW EXECUTE FUNCTION never_changed();

CREATE FUNCTION joins_by_two_people() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.outcome = 'joined'
       AND (SELECT count(*) FROM unwaith.joining_approval WHERE joining_id = NEW.joining_id) < 2 THEN
        RAISE EXCEPTION 'accounts are joined by two people' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.outcome <> 'not_agreed' AND (SELECT earlier FROM unwaith.joining WHERE id = NEW.joining_id) IS NULL THEN
        RAISE EXCEPTION 'what does not agree cannot be decided on' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER joining_end_by_two BEFORE INSERT ON joining_end FOR EACH ROW EXECUTE FUNCTION joins_by_two_people();
