-- What organisations are searched by: the beginnings of their names, slugs and cnames, in lower case. Postgres computes
-- it, so that what servers of the last release and other programs write is found, too. A document that Postgres can store
-- but not read, because a text has a NUL, is found by its ID only.
CREATE FUNCTION organisation_search(document json) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN lower(concat_ws(chr(10), left(document ->> 'owner_name', 150), left(document ->> 'owner_slug', 150),
        left(document ->> 'cname', 150)));
EXCEPTION WHEN data_exception THEN
    RETURN '';
END $$;
ALTER TABLE organisations ADD COLUMN search text GENERATED ALWAYS AS (organisation_search(document)) STORED;
-- A search reads the index, in the order of the list, and not the documents. An entry must stay below 2,704 bytes.
CREATE INDEX organisations_search_idx ON organisations (position) INCLUDE (id, search);

-- policy_name returns the beginning of a policy's name; "" if Postgres cannot read the document.
CREATE FUNCTION policy_name(document json) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN left(coalesce(document ->> 'name', ''), 1000);
EXCEPTION WHEN data_exception THEN
    RETURN '';
END $$;
