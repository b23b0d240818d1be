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

-- api_is_oas reports whether an API is a Tyk OAS API. gatehouse writes it into `search`, as "oas"; the function is for rows
-- of earlier releases, and of other programs.
CREATE FUNCTION api_is_oas(document json) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN coalesce(document #>> '{api_definition,is_oas}', 'false');
EXCEPTION WHEN data_exception THEN
    RETURN 'false';
END $$;
CREATE INDEX apis_oas_idx ON apis (org_id) WHERE coalesce(search ->> 'oas', api_is_oas(document)) = 'true';

-- Documents that the check has refused, which gateways do not get.
CREATE INDEX apis_refused_idx ON apis (org_id, position) WHERE starts_with(checked, '!');
CREATE INDEX policies_refused_idx ON policies (org_id, position) WHERE starts_with(checked, '!');
