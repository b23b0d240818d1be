-- Where gateways serve an API, so that those of other organisations in its way are found. gatehouse writes the listen
-- path into `search`; the function is for rows of earlier releases, and of other programs. internal/apidef/route.go
-- (Route) does the same.
CREATE FUNCTION api_route(document json) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    path text;
BEGIN
    path := left(document #>> '{api_definition,proxy,listen_path}', 500); -- not above, where errors are not caught
    IF coalesce(path, '') = '' THEN
        RETURN '';
    END IF;
    IF strpos(path, '{') > 0 THEN
        path := regexp_replace(split_part(path, '{', 1), '[^/]*$', '');
    END IF;
    RETURN coalesce(nullif(rtrim(path, '/'), ''), '/');
EXCEPTION WHEN data_exception THEN
    RETURN '';
END $$;
CREATE INDEX apis_route_idx ON apis (coalesce(search ->> 'route', api_route(document)) COLLATE "C");

-- How many bytes a document has, for the limit of what an organisation stores. NULL in rows of earlier releases.
ALTER TABLE apis ADD COLUMN size integer;
ALTER TABLE policies ADD COLUMN size integer;
ALTER TABLE objects ADD COLUMN size integer;
