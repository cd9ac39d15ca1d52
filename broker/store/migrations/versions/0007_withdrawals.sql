-- Withdrawals: a change its person cancelled, or corrected by another.
--
-- Locks are taken in one order: the person, then lanes in theirs, then the withdrawal. Whoever only folds a receipt takes
-- no person's lock: lanes, then the withdrawal.

ALTER TABLE change ADD COLUMN corrects uuid REFERENCES change;   -- the change this one replaces or takes back

CREATE TABLE withdrawal (
    change_id     uuid PRIMARY KEY REFERENCES change,        -- what is withdrawn; once, and for good
    person_id     bigint NOT NULL REFERENCES person,
    corrected_by  uuid REFERENCES change,                    -- null: cancelled
    taken_back_by uuid NOT NULL REFERENCES change,           -- owes the compensating deliveries, as they turn out due
    asked_at      timestamptz NOT NULL,
    look_at       timestamptz                                -- null: not before one of its deliveries moves
);
CREATE INDEX withdrawal_due ON withdrawal (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX withdrawal_corrected_by ON withdrawal (corrected_by) WHERE corrected_by IS NOT NULL;
