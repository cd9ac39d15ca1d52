-- Held though given up: what was given up is held as its change is, also what was given up before that was so.

-- Its change was released, and it alone was not: due never, replayed or not. What is withdrawn stays as it is.
CREATE TEMP TABLE forgotten ON COMMIT DROP AS
SELECT d.id, d.person_id, d.organisation FROM delivery d
WHERE d.change_id IN (SELECT change_id FROM hold GROUP BY change_id HAVING bool_and(ended_at IS NOT NULL))
  AND d.held_due IS NOT NULL AND (d.status = 'undelivered' OR d.status = 'queued' AND d.replayed_at IS NOT NULL)
  AND NOT EXISTS (SELECT FROM withdrawal w WHERE w.change_id = d.change_id);

SELECT FROM lane WHERE (person_id, organisation) IN (SELECT person_id, organisation FROM forgotten)
ORDER BY person_id, organisation FOR UPDATE;

UPDATE delivery SET due = greatest(held_due, now()), held_due = NULL
WHERE id IN (SELECT id FROM forgotten) AND held_due IS NOT NULL;

UPDATE lane SET due = least(due, now())    -- whoever looks too early looks again when it is due
WHERE occupant IS NULL AND (person_id, organisation) IN (
    SELECT person_id, organisation FROM forgotten JOIN delivery USING (id, person_id, organisation)
    WHERE status = 'queued');

-- It was given up before its change was held: replayed, it would be sent.
UPDATE delivery SET held_due = due, due = 'infinity'
WHERE change_id IN (SELECT change_id FROM hold WHERE ended_at IS NULL)
  AND sequence IS NULL AND status = 'undelivered' AND held_due IS NULL;
