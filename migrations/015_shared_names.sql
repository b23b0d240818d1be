-- Gateways find the API that another one calls by its api_id, by its ID, and by its name in any case: no API may have the
-- name that is the api_id of another organisation's.
CREATE INDEX apis_lower_api_id_idx ON apis (lower(api_id));

-- api_loop_name returns the name by which gateways find an API, in lower case. The gateway removes the byte before a
-- category. internal/apidef/definition.go (LoopName) does the same.
CREATE FUNCTION api_loop_name(search jsonb, document json) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    name text;
    category int;
BEGIN
    name := left(coalesce(search ->> 'name', document #>> '{api_definition,name}'), 1000);
    category := strpos(name, '#');
    IF category > 1 THEN
        name := left(name, category - CASE WHEN ascii(substr(name, category - 1, 1)) > 127 THEN 1 ELSE 2 END);
    END IF;
    RETURN lower(regexp_replace(name, '[^A-Za-z0-9]+', '-', 'g'));
EXCEPTION WHEN data_exception THEN
    RETURN '';
END $$;
CREATE INDEX apis_loop_name_idx ON apis (api_loop_name(search, document));

-- The APIs that others call are in released_apis, too: nobody else gets their api_id, or a name that is theirs.
CREATE INDEX released_apis_lower_api_id_idx ON released_apis (lower(api_id));
CREATE INDEX released_apis_org_id_idx ON released_apis (org_id);

-- The IDs that policies have had, both of each and in lower case, as released_apis has those of APIs: keys that name one
-- outlive the policy.
CREATE TABLE released_policies (
    policy_id text NOT NULL,
    org_id text NOT NULL,
    CONSTRAINT released_policies_pkey PRIMARY KEY (policy_id)
);
-- No policy may have an ID that differs in case only from one of another organisation's.
CREATE INDEX policies_lower_policy_id_idx ON policies (lower(policy_id));
