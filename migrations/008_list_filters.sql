-- What lists of APIs and policies are filtered and sorted by. gatehouse writes it with each document that it imports. It
-- is NULL for a document that another program has written: lists call the functions for those, which parse the document.

-- search: {"name": text, "types": [text], "auth": [text], "categories": [text], "created_at": text, "updated_at": text}.
-- The times are in UTC with nine digits of the second, so that they sort as text; "" if the document states none.
ALTER TABLE apis ADD COLUMN search jsonb;
-- active: whether the policy is neither inactive nor a draft.
ALTER TABLE policies ADD COLUMN active boolean;

-- internal/apidef/search.go does the same for imports; a test compares the two. A document that Postgres can store but
-- not read, because a text has a NUL, is not found by any filter.
CREATE FUNCTION api_search(document json) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    definition json := document -> 'api_definition';
    name text;
    kind text;
    auth text[];
BEGIN
    name := CASE WHEN json_typeof(definition -> 'name') = 'string' THEN definition ->> 'name' ELSE '' END;
    kind := CASE
        WHEN definition -> 'graphql' ->> 'enabled' = 'true' THEN CASE definition -> 'graphql' ->> 'execution_mode'
            WHEN 'executionEngine' THEN 'udg' WHEN 'subgraph' THEN 'subgraph' WHEN 'supergraph' THEN 'supergraph'
            ELSE 'graphql' END
        WHEN definition ->> 'protocol' IN ('tcp', 'tls') THEN 'tcp'
        ELSE 'rest' END;
    auth := array_remove(ARRAY[
        CASE WHEN definition ->> 'use_keyless' = 'true' THEN 'keyless' END,
        CASE WHEN definition ->> 'use_standard_auth' = 'true' THEN 'authToken' END,
        CASE WHEN definition ->> 'use_basic_auth' = 'true' THEN 'basic' END,
        CASE WHEN definition ->> 'enable_signature_checking' = 'true' THEN 'hmac' END,
        CASE WHEN definition ->> 'enable_jwt' = 'true' THEN 'jwt' END,
        CASE WHEN definition ->> 'use_oauth2' = 'true' THEN 'oauth' END,
        CASE WHEN definition -> 'external_oauth' ->> 'enabled' = 'true' THEN 'externalOAuth' END,
        CASE WHEN definition ->> 'use_openid' = 'true' THEN 'oidc' END,
        CASE WHEN definition ->> 'use_mutual_tls_auth' = 'true' THEN 'mutualTLS' END,
        CASE WHEN definition ->> 'enable_coprocess_auth' = 'true' THEN 'coprocess' END,
        CASE WHEN definition ->> 'use_go_plugin_auth' = 'true' THEN 'goplugin' END,
        CASE WHEN definition ->> 'custom_plugin_auth_enabled' = 'true' THEN 'customPlugin' END
    ], NULL);
    RETURN jsonb_build_object(
        'name', name,
        'types', to_jsonb(array_remove(ARRAY[
            kind, CASE WHEN definition ->> 'internal' = 'true' THEN 'internal' END], NULL)),
        'auth', to_jsonb(CASE WHEN auth = '{}' THEN ARRAY['authToken'] ELSE auth END),
        'categories', to_jsonb(
            ARRAY(SELECT value #>> '{}' FROM json_array_elements(
                CASE WHEN json_typeof(document -> 'categories') = 'array' THEN document -> 'categories' ELSE '[]' END
            ) AS value WHERE json_typeof(value) = 'string')
            || ARRAY(SELECT tag[1] FROM regexp_matches(name, '#([^ ]+)', 'g') AS tag)),
        'created_at', sortable_time(document ->> 'created_at'),
        'updated_at', sortable_time(document ->> 'updated_at'));
EXCEPTION WHEN data_exception THEN
    RETURN '{}';
END $$;

-- sortable_time returns a time as `search` has it.
CREATE FUNCTION sortable_time(stated text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    parts text[] := regexp_match(stated,
        '^(\d{4}-\d\d-\d\d)[Tt]((?:[01]\d|2[0-3])(?::[0-5]\d){2})(\.\d+)?([Zz]|[+-](?:0\d|1[0-5]):[0-5]\d)$');
BEGIN
    IF parts IS NULL THEN
        RETURN '';
    END IF;
    RETURN to_char((parts[1] || ' ' || parts[2] || replace(upper(parts[4]), 'Z', '+00'))::timestamptz AT TIME ZONE 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS') || rpad(coalesce(parts[3], '.'), 10, '0') || 'Z';
EXCEPTION WHEN data_exception THEN
    RETURN '';
END $$;

CREATE FUNCTION policy_active(document json) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN (document ->> 'is_inactive') IS DISTINCT FROM 'true' AND (document ->> 'active') IS DISTINCT FROM 'false';
EXCEPTION WHEN data_exception THEN
    RETURN true;
END $$;

UPDATE apis SET search = api_search(document);
UPDATE policies SET active = policy_active(document);

-- What another program writes is parsed again.
CREATE FUNCTION forget_search() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.search := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER forget_search BEFORE UPDATE OF document ON apis FOR EACH ROW
    WHEN (current_setting('gatehouse.checked', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION forget_search();
CREATE FUNCTION forget_active() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.active := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER forget_active BEFORE UPDATE OF document ON policies FOR EACH ROW
    WHEN (current_setting('gatehouse.checked', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION forget_active();
