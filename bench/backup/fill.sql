-- Fills an empty database of gatehouse with :documents documents of :organisations organisations: a fifth are APIs of
-- some 3 KB, two fifths policies of some 1.5 KB, and the rest other documents of some 0.5 KB.

\set apis :documents / 5
\set policies :documents * 2 / 5

BEGIN;
-- noise returns hexadecimal digits that differ for each argument.
CREATE FUNCTION pg_temp.noise(what text, n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT md5(what || n) $$;

INSERT INTO organisations (id, cname_key, sso_enabled, document)
SELECT left(pg_temp.noise('organisation', n), 24), 'portal' || n || '.example.org', true,
    json_build_object('id', left(pg_temp.noise('organisation', n), 24), 'owner_name', 'Owner ' || n)
FROM generate_series(1, :organisations) AS n;

INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active, access_key, user_permissions,
    group_id, password_max_days, password_hash, created_at)
SELECT left(pg_temp.noise('user', n), 24), left(pg_temp.noise('organisation', n), 24), 'user@example.org',
    'user@example.org', 'Ada', 'Lovelace', true, pg_temp.noise('access key', n), '{"IsAdmin": "admin"}', '', 0,
    '$argon2id$v=19$m=65536,t=1,p=2$' || pg_temp.noise('hash', n), now()
FROM generate_series(1, :organisations) AS n;

INSERT INTO apis (api_id, id, org_id, active, document, checked, search, size)
SELECT api_id, id, org_id, true, document, 'check:' || encode(sha256(document::text::bytea), 'hex'),
    jsonb_build_object('name', 'Tide tables ' || n, 'types', '["rest"]'::jsonb, 'auth', '["authToken"]'::jsonb,
        'categories', '[]'::jsonb, 'created_at', '', 'updated_at', '', 'route', '/tides-' || n, 'domain', ''),
    length(document::text)
FROM (
    SELECT n, api_id, id, org_id, ('{"api_model":{},"api_definition":{"api_id":"' || api_id || '","id":"' || id
        || '","org_id":"' || org_id || '","name":"Tide tables ' || n || '","proxy":{"listen_path":"/tides-' || n
        || '/"},"version_data":{"versions":{"Default":{"extended_paths":{"url_rewrites":[' || rules || ']}}}}}}')::json
        AS document
    FROM generate_series(1, :apis) AS n,
        LATERAL (SELECT pg_temp.noise('api', n), left(pg_temp.noise('id of api', n), 24),
            left(pg_temp.noise('organisation', n % :organisations + 1), 24)) AS ids (api_id, id, org_id),
        LATERAL (
            SELECT string_agg('{"path":"/ports/' || r || '/{port}","method":"GET","match_pattern":"ports/(\\w+)/'
                || pg_temp.noise('rule', n * 100 + r) || '","rewrite_to":"/v2/tides?port=$1","triggers":[{"on":"all",'
                || '"options":{"header_matches":{"X-Season":{"match_rx":"^(spring|neap)$","reverse":false}}}}]}', ',')
            FROM generate_series(1, 12) AS r
        ) AS all_rules (rules)
) AS made;

INSERT INTO policies (id, policy_id, org_id, active, document, checked, size)
SELECT id, id, org_id, true, document, 'check:' || encode(sha256(document::text::bytea), 'hex'), length(document::text)
FROM (
    SELECT id, org_id, ('{"_id":"' || id || '","org_id":"' || org_id || '","name":"Three a minute","rate":3,"per":60,'
        || '"access_rights":{' || rights || '}}')::json AS document
    FROM generate_series(1, :policies) AS n,
        LATERAL (SELECT left(pg_temp.noise('policy', n), 24),
            left(pg_temp.noise('organisation', n % :organisations + 1), 24)) AS ids (id, org_id),
        LATERAL (
            SELECT string_agg('"' || pg_temp.noise('api', n + r) || '":{"api_id":"' || pg_temp.noise('api', n + r)
                || '","api_name":"Tide tables ' || n + r || '","versions":["Default"],"allowed_urls":'
                || '[{"url":"/ports/(.*)","methods":["GET","HEAD"]}],"limit":null}', ',')
            FROM generate_series(1, 7) AS r
        ) AS all_rights (rights)
) AS made;

INSERT INTO objects (id, kind, org_id, public_id, look_up, document, size)
SELECT id, 'portal developer', org_id, pg_temp.noise('public', n), 'developer' || n || '@example.org', document,
    length(document::text)
FROM (
    SELECT n, id, org_id, ('{"id":"' || id || '","org_id":"' || org_id || '","email":"developer' || n
        || '@example.org","fields":{"company":"' || repeat(pg_temp.noise('company', n), 10) || '"}}')::json AS document
    FROM generate_series(1, :documents - :apis - :policies) AS n,
        LATERAL (SELECT left(pg_temp.noise('object', n), 24),
            left(pg_temp.noise('organisation', n % :organisations + 1), 24)) AS ids (id, org_id)
) AS made;
COMMIT;
VACUUM ANALYZE;
