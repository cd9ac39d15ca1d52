-- Of deliveries of one lane with the same mark only the newest matters to the organisation, if its agreement says so. Null:
-- each matters, as for all that was accepted before there were marks.

ALTER TABLE delivery_content ADD COLUMN newest_of bytea;   -- keyed; who reads it learns no more than that two are alike
