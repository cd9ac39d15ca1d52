-- What is to change in the register, who approved it, and every version of what is in it. Nothing here is ever changed.

CREATE TABLE proposal (
    id           uuid PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('agreement', 'organisation', 'client', 'body')),
    subject      text NOT NULL,          -- the id of what it is about
    organisation text,                   -- whose it is; null for a body
    based_on     integer NOT NULL,       -- the version it was written against, 0 for something new
    document     bytea NOT NULL,         -- JSON with sorted keys, whole
    digest       bytea NOT NULL,         -- its SHA-256: what an approver saw is what comes into force
    pauses       boolean NOT NULL,       -- it changes where or under which key: nothing is sent until it is decided
    proposed_by  text NOT NULL,
    proposed_at  timestamptz NOT NULL,
    CHECK (digest = sha256(document))
);
CREATE INDEX proposal_subject ON proposal (kind, subject, proposed_at);

CREATE TABLE proposal_approval (         -- a person once; who proposed it at a page is the first
    proposal_id uuid NOT NULL REFERENCES proposal,
    approved_by text NOT NULL,
    approved_at timestamptz NOT NULL,
    PRIMARY KEY (proposal_id, approved_by)
);

CREATE TABLE proposal_end (
    proposal_id uuid PRIMARY KEY REFERENCES proposal,
    outcome     text NOT NULL CHECK (outcome IN ('in_force', 'rejected')),
    ended_by    text NOT NULL,
    ended_at    timestamptz NOT NULL,
    reason      text,
    note        text,
    CHECK ((outcome = 'rejected') = (reason IS NOT NULL))
);

CREATE FUNCTION never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER proposal_kept BEFORE UPDATE OR DELETE ON proposal FOR EACH ROW EXECUTE FUNCTION never_changed();
CREATE TRIGGER proposal_approval_kept BEFORE UPDATE OR DELETE ON proposal_approval
    FOR EACH ROW EXECUTE FUNCTION never_changed();
CREATE TRIGGER proposal_end_kept BEFORE UPDATE OR DELETE ON proposal_end FOR EACH ROW EXECUTE FUNCTION never_changed();

CREATE FUNCTION needs_two_people() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.outcome = 'in_force'
       AND (SELECT count(*) FROM unwaith.proposal_approval WHERE proposal_id = NEW.proposal_id) < 2 THEN
        RAISE EXCEPTION 'a proposal comes into force by two people' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER proposal_end_by_two BEFORE INSERT ON proposal_end FOR EACH ROW EXECUTE FUNCTION needs_two_people();

-- Agreements: a version never changes, and is revoked once -------------------------------------------------------

ALTER TABLE agreement ADD COLUMN revoked_by text, ADD COLUMN revoked_reason text, ADD COLUMN revoked_note text;

CREATE FUNCTION agreement_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.version, NEW.organisation, NEW.definition) IS DISTINCT FROM
       (OLD.id, OLD.version, OLD.organisation, OLD.definition) OR OLD.revoked_at IS NOT NULL THEN
        RAISE EXCEPTION 'a version of an agreement is never changed' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER agreement_kept BEFORE UPDATE ON agreement FOR EACH ROW EXECUTE FUNCTION agreement_kept();

-- Who there is, connected or not ---------------------------------------------------------------------------------

CREATE TABLE body (                      -- beside the councils and health boards the program knows, or edits of those
    id         text PRIMARY KEY,
    definition jsonb NOT NULL            -- contracts.Body
);
CREATE TRIGGER body_changed AFTER INSERT OR UPDATE OR DELETE ON body
    FOR EACH STATEMENT EXECUTE FUNCTION configuration_changed();

-- Every version of what is replaced ------------------------------------------------------------------------------

CREATE TABLE register_version (
    kind       text NOT NULL CHECK (kind IN ('organisation', 'client', 'body')),
    id         text NOT NULL,
    version    integer NOT NULL,
    definition jsonb NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, id, version)
);
CREATE TRIGGER register_version_kept BEFORE UPDATE OR DELETE ON register_version
    FOR EACH ROW EXECUTE FUNCTION never_changed();

CREATE FUNCTION keep_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kept_id text;
    kept jsonb;
BEGIN
    IF TG_TABLE_NAME = 'client' THEN
        kept_id := NEW.client_id;
        kept := jsonb_build_object('clientId', NEW.client_id, 'organisation', NEW.organisation, 'jwks', NEW.jwks,
                                   'scopes', to_jsonb(NEW.scopes));
    ELSE
        kept_id := NEW.id;
        kept := NEW.definition;
    END IF;
    -- Whoever writes holds the row that is replaced: no two give the same number.
    INSERT INTO unwaith.register_version (kind, id, version, definition)
    SELECT TG_TABLE_NAME, kept_id, coalesce(max(version), 0) + 1, kept
    FROM unwaith.register_version WHERE kind = TG_TABLE_NAME AND id = kept_id
    HAVING (SELECT definition FROM unwaith.register_version WHERE kind = TG_TABLE_NAME AND id = kept_id
            ORDER BY version DESC LIMIT 1) IS DISTINCT FROM kept;
    RETURN NULL;
END $$;
CREATE TRIGGER organisation_version AFTER INSERT OR UPDATE OF definition ON organisation
    FOR EACH ROW EXECUTE FUNCTION keep_version();
CREATE TRIGGER client_version AFTER INSERT OR UPDATE ON client FOR EACH ROW EXECUTE FUNCTION keep_version();
CREATE TRIGGER body_version AFTER INSERT OR UPDATE ON body FOR EACH ROW EXECUTE FUNCTION keep_version();

INSERT INTO register_version (kind, id, version, definition) SELECT 'organisation', id, 1, definition FROM organisation;
INSERT INTO register_version (kind, id, version, definition)
SELECT 'client', client_id, 1,
       jsonb_build_object('clientId', client_id, 'organisation', organisation, 'jwks', jwks, 'scopes', to_jsonb(scopes))
FROM client;
