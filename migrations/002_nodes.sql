-- Registered Tyk Gateways, the notification of changes, and which documents gateways can decode.

CREATE TABLE nodes (
    id         text PRIMARY KEY,
    session_id text NOT NULL,       -- the ID of the gateway's process, new at each start
    hostname   text NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL,
    CONSTRAINT nodes_session UNIQUE (session_id)
) WITH (fillfactor = 50);           -- a heartbeat every two seconds updates a row in place

-- loadable: whether a gateway can decode the document. checked_by: the name of the check that found this out; NULL if
-- the document has not been checked.
ALTER TABLE apis ADD COLUMN loadable boolean, ADD COLUMN checked_by text;
ALTER TABLE policies ADD COLUMN loadable boolean, ADD COLUMN checked_by text;

-- A document that is written by a transaction without the setting gatehouse.checked counts as unchecked.
CREATE FUNCTION forget_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.checked_by := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER forget_check BEFORE UPDATE OF document ON apis FOR EACH ROW
    WHEN (current_setting('gatehouse.checked', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION forget_check();
CREATE TRIGGER forget_check BEFORE UPDATE OF document ON policies FOR EACH ROW
    WHEN (current_setting('gatehouse.checked', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION forget_check();

-- Notify every server on the database of each committed change of APIs, policies and organisations. The leader notifies
-- the gateways.
-- Postgres sends equal notifications of one transaction once.
CREATE FUNCTION announce_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gatehouse', 'change');
    RETURN NULL;
END $$;
CREATE TRIGGER announce_change AFTER INSERT OR DELETE OR TRUNCATE OR UPDATE OF document, active, org_id, id ON apis
    FOR EACH STATEMENT EXECUTE FUNCTION announce_change();
CREATE TRIGGER announce_change AFTER INSERT OR DELETE OR TRUNCATE OR UPDATE OF document, org_id, policy_id ON policies
    FOR EACH STATEMENT EXECUTE FUNCTION announce_change();
CREATE TRIGGER announce_change AFTER INSERT OR DELETE OR TRUNCATE OR UPDATE ON organisations
    FOR EACH STATEMENT EXECUTE FUNCTION announce_change();
