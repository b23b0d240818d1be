-- The organisation keys that gateways may not have as org_keys has them. A row exists from the moment a change begins
-- until a gateway was seen to keep the key. There is no foreign key: when an organisation is deleted, its key has to be
-- deleted in gateways, too.

CREATE SEQUENCE org_key_versions;

CREATE TABLE org_key_sync (
    org_id      text PRIMARY KEY,
    -- Replaced when the stored key changes, and when a change begins.
    version     bigint NOT NULL DEFAULT nextval('org_key_versions'),
    -- Whether the gateway has accepted the stored key. The reconciler then checks that the gateway keeps it.
    sent        boolean NOT NULL,
    -- The lease of the request or server that may call the gateway. If it has expired, its holder crashed, and the
    -- outcome of its call is unknown.
    lease       bigint,
    lease_until timestamptz,
    -- Failed attempts since the last change, the cause of the last one, and when the next is due.
    attempts    integer NOT NULL DEFAULT 0,
    last_error  text,
    due_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT org_key_sync_lease_check CHECK ((lease IS NULL) = (lease_until IS NULL)),
    CONSTRAINT org_key_sync_attempts_check CHECK (attempts >= 0)
);
CREATE INDEX org_key_sync_due_at_idx ON org_key_sync (due_at);

-- Until now each key was sent when it was stored, but nothing recorded whether the gateway kept it.
INSERT INTO org_key_sync (org_id, sent) SELECT org_id, true FROM org_keys;

-- Every change of org_keys has to reach gateways, including the cascade from organisations.
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
