-- Where the addresses of a change lay when it was told. Null for what was told before that was kept.

ALTER TABLE change ADD COLUMN placed bytea;   -- sealed under its person's own key, as what they told is
