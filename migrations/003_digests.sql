-- The digest of an imported document: importing the same document again writes nothing and notifies no gateway.
ALTER TABLE apis ADD COLUMN digest bytea;       -- SHA-256 of document; NULL if unknown
ALTER TABLE policies ADD COLUMN digest bytea;

CREATE OR REPLACE FUNCTION forget_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.checked_by := NULL;
    NEW.digest := NULL;
    RETURN NEW;
END $$;
