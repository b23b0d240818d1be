-- What a Tyk Gateway needs of the database: to be known, to be told of changes, and not to be given what it cannot decode.

CREATE TABLE nodes (
    id         text PRIMARY KEY,
    session_id text NOT NULL,       -- what a gateway names itself, anew at each start
    hostname   text NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL,
    CONSTRAINT nodes_session UNIQUE (session_id)
) WITH (fillfactor = 50);           -- a heartbeat every two seconds updates a row in place

-- Whether a gateway can decode a document, and by which check that was found out; NULL if by none yet.
ALTER TABLE apis ADD COLUMN loadable boolean, ADD COLUMN checked_by text;
ALTER TABLE policies ADD COLUMN loadable boolean, ADD COLUMN checked_by text;

-- What writes a document without saying that it has checked it (gatehouse.checked) leaves it unchecked.
CREATE FUNCTION forget_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.checked_by := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER forget_check BEFORE UPDATE OF document ON apis FOR EACH ROW
    WHEN (current_setting('gatehouse.checked', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION forget_check();
CREATE TRIGGER forget_check BEFORE UPDATE OF document ON policies FOR EACH ROW
    WHEN (current_setting('gatehouse.checked', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION forget_check();

-- Every committed change of what gateways serve is told to every server on the database, which tell the gateways.
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
