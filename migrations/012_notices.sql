-- Servers announce changes in the transactions that make them, and a column of each document tells whether gateways can
-- decode it. Until now, triggers did both. The triggers stay for servers of earlier releases, which may still run, until
-- contract/001_triggers.sql drops them (docs/architecture.md#migrations).

-- checked: the name of the check that the document has passed, a colon, and the SHA-256 of the document in hexadecimal
-- digits. There is a ! before it if gateways cannot decode the document. NULL if the document has not been checked.
ALTER TABLE apis ADD COLUMN checked text,
    ADD CONSTRAINT apis_checked_check CHECK (length(checked) > 65);
ALTER TABLE policies ADD COLUMN checked text,
    ADD CONSTRAINT policies_checked_check CHECK (length(checked) > 65);

-- Each server checks what the other releases have written. A server of this release or a later one changes checked with
-- the document; one of an earlier release sets gatehouse.checked, and another program does neither.
DROP TRIGGER forget_check ON apis;
DROP TRIGGER forget_check ON policies;
DROP TRIGGER forget_search ON apis;
DROP TRIGGER forget_active ON policies;
DROP FUNCTION forget_search();
DROP FUNCTION forget_active();
CREATE OR REPLACE FUNCTION forget_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    by_program boolean := current_setting('gatehouse.checked', true) IS DISTINCT FROM 'on';
BEGIN
    IF NEW.checked IS DISTINCT FROM OLD.checked OR by_program THEN
        NEW.checked_by := NULL;
        NEW.digest := NULL;
    END IF;
    IF NEW.checked IS DISTINCT FROM OLD.checked THEN
        RETURN NEW;
    END IF;
    NEW.checked := NULL;
    IF by_program AND TG_TABLE_NAME = 'apis' THEN
        NEW.search := NULL;
    ELSIF by_program THEN
        NEW.active := NULL;
        NEW.served := NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER forget_check BEFORE UPDATE OF document ON apis FOR EACH ROW EXECUTE FUNCTION forget_check();
CREATE TRIGGER forget_check BEFORE UPDATE OF document ON policies FOR EACH ROW EXECUTE FUNCTION forget_check();

-- gatehouse_changed announces changes that another program has made: SELECT gatehouse_changed() in the transaction of the
-- changes, or after it. Documents that are not the ones that were checked are checked anew.
CREATE FUNCTION gatehouse_changed() RETURNS void LANGUAGE sql AS $$
    UPDATE apis SET checked = NULL, search = NULL
    WHERE CASE WHEN checked IS NULL THEN search IS NOT NULL
        ELSE right(checked, 64) <> encode(sha256(convert_to(document::text, 'UTF8')), 'hex') END;
    UPDATE policies SET checked = NULL, active = NULL, served = NULL
    WHERE CASE WHEN checked IS NULL THEN active IS NOT NULL OR served IS NOT NULL
        ELSE right(checked, 64) <> encode(sha256(convert_to(document::text, 'UTF8')), 'hex') END;
    SELECT pg_notify('gatehouse', 'change');
$$;

-- What one server at a time may do, such as notifying gateways. The holder extends its lease while it runs.
CREATE TABLE leases (
    name       text NOT NULL,
    holder     text NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT leases_pkey PRIMARY KEY (name)
) WITH (fillfactor = 50);           -- the holder updates its row in place twice a second
