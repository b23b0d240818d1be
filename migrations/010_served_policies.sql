-- served: what gateways are given in place of a policy's document; NULL if it is the document. Gateways read
-- access_rights only, but a document may have its access rights as access_rights_array alone. Its keys would have access
-- to nothing.
ALTER TABLE policies ADD COLUMN served json;

-- What another program writes is completed when it is checked.
CREATE OR REPLACE FUNCTION forget_active() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.active := NULL;
    NEW.served := NULL;
    RETURN NEW;
END $$;
