-- Which organisation keys gateways may not have as org_keys has them. A row exists from the moment a change begins until a
-- gateway was seen to keep it. There is no foreign key: the key of a deleted organisation has to be deleted in gateways, too.

CREATE SEQUENCE org_key_versions;

CREATE TABLE org_key_sync (
    org_id      text PRIMARY KEY,
    version     bigint NOT NULL DEFAULT nextval('org_key_versions'), -- new with every change of the record and every lease
    sent        boolean NOT NULL,       -- the gateway has accepted the recorded key; only to be confirmed
    lease       bigint,                 -- the version at which a request, or the reconciler, took the right to call the gateway
    lease_until timestamptz,            -- after it, whoever held the lease is dead, and the outcome of its call unknown
    attempts    integer NOT NULL DEFAULT 0, -- failed ones since the last change
    due_at      timestamptz NOT NULL DEFAULT now(), -- when the reconciler looks at the key next
    last_error  text,
    CONSTRAINT org_key_sync_lease_check CHECK ((lease IS NULL) = (lease_until IS NULL)),
    CONSTRAINT org_key_sync_attempts_check CHECK (attempts >= 0)
);
CREATE INDEX org_key_sync_due_at_idx ON org_key_sync (due_at);

-- Until now each key was sent when it was stored, but nothing recorded whether the gateway kept it.
INSERT INTO org_key_sync (org_id, sent) SELECT org_id, true FROM org_keys;

-- Whatever changes the record, the cascade from organisations included, has to reach gateways.
CREATE FUNCTION org_key_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO org_key_sync (org_id, sent)
    VALUES (CASE WHEN TG_OP = 'DELETE' THEN OLD.org_id ELSE NEW.org_id END, false)
    ON CONFLICT (org_id) DO UPDATE SET
        version = excluded.version, sent = false, attempts = 0, due_at = excluded.due_at, last_error = NULL;
    PERFORM pg_notify('gatehouse', 'org_key');
    RETURN NULL;
END $$;
CREATE TRIGGER org_key_changed AFTER INSERT OR UPDATE OR DELETE ON org_keys
    FOR EACH ROW EXECUTE FUNCTION org_key_changed();
