-- Mailboxes: what lies for organisations that cannot be called, until they have fetched it and said so.
-- Nothing personal is here: the data stays sealed in delivery_content, and goes with its person's key.

CREATE TABLE mailbox_end (               -- the place of the last one laid down, gapless under this row's lock
    organisation text PRIMARY KEY REFERENCES organisation,
    place        bigint NOT NULL
);

CREATE TABLE mailbox (
    delivery_id  uuid PRIMARY KEY REFERENCES delivery,
    organisation text NOT NULL,
    epoch        integer NOT NULL,
    place        bigint NOT NULL,        -- in the order of commits: nothing ever appears before what was seen
    placed_at    timestamptz NOT NULL DEFAULT now(),
    alarm_at     timestamptz NOT NULL,   -- unread until then, it is an alarm
    fetched_at   timestamptz,            -- it was handed out, and may have arrived
    UNIQUE (organisation, place)
);
CREATE INDEX mailbox_alarm ON mailbox (organisation, alarm_at);
