-- The objects of the admin API. A user's document is a column of type json: it is stored byte for byte
-- (jsonb would reorder keys and rewrite numbers). Only values that are searched or joined have columns of their own.
-- `position` is the order of creation, in which everything is listed.
--
-- Do not copy the names of constraints and indexes from here: 005_constraints.sql renames them, and says how new ones
-- are named.

CREATE TABLE organisations (
    id          text PRIMARY KEY,
    position    bigint GENERATED ALWAYS AS IDENTITY,
    cname_key   text,               -- the cname in lower case; NULL if there is none, which is not a duplicate
    sso_enabled boolean NOT NULL,
    document    json NOT NULL,
    CONSTRAINT organisations_cname_key UNIQUE (cname_key)
);
CREATE UNIQUE INDEX organisations_position ON organisations (position);

CREATE TABLE users (
    id                text PRIMARY KEY,
    position          bigint GENERATED ALWAYS AS IDENTITY,
    org_id            text,         -- NULL for a super user
    email_address     text NOT NULL,
    email_key         text NOT NULL, -- the address in lower case
    first_name        text NOT NULL,
    last_name         text NOT NULL,
    active            boolean NOT NULL,
    access_key        text NOT NULL,
    user_permissions  jsonb NOT NULL,
    group_id          text NOT NULL,
    password_max_days bigint NOT NULL,
    password_hash     text,         -- NULL until a password is set
    password_updated  timestamptz,
    last_login_date   timestamptz,
    created_at        timestamptz NOT NULL,
    CONSTRAINT users_access_key UNIQUE (access_key),
    CONSTRAINT users_organisation FOREIGN KEY (org_id) REFERENCES organisations ON DELETE CASCADE
);
CREATE UNIQUE INDEX users_position ON users (position);
CREATE INDEX users_of_organisation ON users (org_id, position);
-- One address, one user in an organisation, and one among the super users (NULL would be distinct).
CREATE UNIQUE INDEX users_email ON users (email_key, (coalesce(org_id, '')));

CREATE TABLE apis (
    api_id   text PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    id       text NOT NULL,         -- the database's id of Tyk: 24 hexadecimal digits
    org_id   text NOT NULL,
    active   boolean NOT NULL,
    document json NOT NULL,
    CONSTRAINT apis_id UNIQUE (id),
    CONSTRAINT apis_organisation FOREIGN KEY (org_id) REFERENCES organisations ON DELETE CASCADE
);
CREATE UNIQUE INDEX apis_position ON apis (position);
CREATE INDEX apis_of_organisation ON apis (org_id, position);

CREATE TABLE policies (
    id        text PRIMARY KEY,     -- `_id`: 24 hexadecimal digits
    position  bigint GENERATED ALWAYS AS IDENTITY,
    policy_id text NOT NULL,        -- the ID that gateways use: the explicit `id`, else `_id`
    org_id    text NOT NULL,
    document  json NOT NULL,
    CONSTRAINT policies_policy_id UNIQUE (policy_id),
    CONSTRAINT policies_organisation FOREIGN KEY (org_id) REFERENCES organisations ON DELETE CASCADE
);
CREATE UNIQUE INDEX policies_position ON policies (position);
CREATE INDEX policies_of_organisation ON policies (org_id, position);

CREATE TABLE org_keys (
    org_id   text PRIMARY KEY,
    session  json NOT NULL,
    CONSTRAINT org_keys_organisation FOREIGN KEY (org_id) REFERENCES organisations ON DELETE CASCADE
);

CREATE TABLE sso_nonces (
    nonce_hash bytea PRIMARY KEY,   -- SHA-256 of the nonce, which cannot be redeemed with it
    org_id     text NOT NULL,
    email_key  text NOT NULL,
    registered_only boolean NOT NULL,
    document   json NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT sso_nonces_organisation FOREIGN KEY (org_id) REFERENCES organisations ON DELETE CASCADE
);
CREATE INDEX sso_nonces_of_organisation ON sso_nonces (org_id);
CREATE INDEX sso_nonces_expiry ON sso_nonces (expires_at);

-- lz4 halves the time of an import, where this build of Postgres has it.
DO $$
DECLARE
    documents text[] := ARRAY['organisations.document', 'apis.document', 'policies.document', 'org_keys.session'];
    target text;
BEGIN
    IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        FOREACH target IN ARRAY documents LOOP
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET COMPRESSION lz4',
                split_part(target, '.', 1), split_part(target, '.', 2));
        END LOOP;
    END IF;
END $$;
