-- What a document was when it was imported, so that importing it again writes nothing and tells nobody.
ALTER TABLE apis ADD COLUMN digest bytea;       -- SHA-256 of document; NULL: not known
ALTER TABLE policies ADD COLUMN digest bytea;

CREATE OR REPLACE FUNCTION forget_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.checked_by := NULL;
    NEW.digest := NULL;
    RETURN NEW;
END $$;
