-- Each constraint and index is named after its table and columns, as Postgres would name it, and ends in its kind:
--
--     _pkey    primary key               users_pkey
--     _key     unique                    users_email_key, users_position_key
--     _fkey    foreign key               users_org_id_fkey
--     _check   check                     users_access_key_check
--     _idx     index that is not unique  users_org_id_position_idx
--
-- The error of a constraint follows from its kind (constraintError in store/errors.go), with exceptions.

ALTER INDEX organisations_position RENAME TO organisations_position_key;

ALTER INDEX users_position RENAME TO users_position_key;
ALTER INDEX users_of_organisation RENAME TO users_org_id_position_idx;
ALTER INDEX users_email RENAME TO users_email_key;
ALTER TABLE users RENAME CONSTRAINT users_access_key TO users_access_key_key;
ALTER TABLE users RENAME CONSTRAINT users_organisation TO users_org_id_fkey;

ALTER INDEX apis_position RENAME TO apis_position_key;
ALTER INDEX apis_of_organisation RENAME TO apis_org_id_position_idx;
ALTER TABLE apis RENAME CONSTRAINT apis_id TO apis_id_key;
ALTER TABLE apis RENAME CONSTRAINT apis_organisation TO apis_org_id_fkey;

ALTER INDEX policies_position RENAME TO policies_position_key;
ALTER INDEX policies_of_organisation RENAME TO policies_org_id_position_idx;
ALTER TABLE policies RENAME CONSTRAINT policies_policy_id TO policies_policy_id_key;
ALTER TABLE policies RENAME CONSTRAINT policies_organisation TO policies_org_id_fkey;

ALTER TABLE org_keys RENAME CONSTRAINT org_keys_organisation TO org_keys_org_id_fkey;

ALTER INDEX sso_nonces_of_organisation RENAME TO sso_nonces_org_id_idx;
ALTER INDEX sso_nonces_expiry RENAME TO sso_nonces_expires_at_idx;
ALTER TABLE sso_nonces RENAME CONSTRAINT sso_nonces_organisation TO sso_nonces_org_id_fkey;

ALTER TABLE nodes RENAME CONSTRAINT nodes_session TO nodes_session_id_key;

-- Super users are listed by position. The index on (org_id, position) does not have them in that order.
CREATE INDEX users_position_idx ON users (position) WHERE org_id IS NULL;

-- The rules of the columns. gatehouse has always observed them, but other programs may write into the database, too:
-- rows that break a rule must not prevent gatehouse from starting. So the rules apply to rows that are written from
-- now on (NOT VALID), and to all rows where no row breaks them. Only ASCII letters are compared, because the lower
-- case of others depends on the database's locale.
ALTER TABLE organisations
    ADD CONSTRAINT organisations_id_check CHECK (id <> '') NOT VALID,
    ADD CONSTRAINT organisations_cname_key_check CHECK (cname_key <> '' AND cname_key !~ '[A-Z]') NOT VALID;
ALTER TABLE users
    ADD CONSTRAINT users_id_check CHECK (id <> '') NOT VALID,
    ADD CONSTRAINT users_email_key_check CHECK (email_key !~ '[A-Z]') NOT VALID,
    ADD CONSTRAINT users_access_key_check CHECK (access_key <> '') NOT VALID,
    ADD CONSTRAINT users_user_permissions_check CHECK (jsonb_typeof(user_permissions) = 'object') NOT VALID,
    ADD CONSTRAINT users_password_hash_check CHECK (password_hash <> '') NOT VALID;
ALTER TABLE apis
    ADD CONSTRAINT apis_api_id_check CHECK (api_id <> '') NOT VALID,
    ADD CONSTRAINT apis_id_check CHECK (id <> '') NOT VALID,
    ADD CONSTRAINT apis_checked_by_check CHECK (checked_by IS NULL OR loadable IS NOT NULL) NOT VALID,
    ADD CONSTRAINT apis_digest_check CHECK (length(digest) = 32) NOT VALID;
ALTER TABLE policies
    ADD CONSTRAINT policies_id_check CHECK (id <> '') NOT VALID,
    ADD CONSTRAINT policies_policy_id_check CHECK (policy_id <> '') NOT VALID,
    ADD CONSTRAINT policies_checked_by_check CHECK (checked_by IS NULL OR loadable IS NOT NULL) NOT VALID,
    ADD CONSTRAINT policies_digest_check CHECK (length(digest) = 32) NOT VALID;
ALTER TABLE sso_nonces
    ADD CONSTRAINT sso_nonces_nonce_hash_check CHECK (length(nonce_hash) = 32) NOT VALID,
    ADD CONSTRAINT sso_nonces_email_key_check CHECK (email_key !~ '[A-Z]') NOT VALID;
ALTER TABLE nodes
    ADD CONSTRAINT nodes_id_check CHECK (id <> '') NOT VALID,
    ADD CONSTRAINT nodes_session_id_check CHECK (session_id <> '') NOT VALID;

DO $$
DECLARE
    rule record;
BEGIN
    FOR rule IN
        SELECT conrelid::regclass AS "table", conname AS name FROM pg_constraint
        WHERE contype = 'c' AND NOT convalidated AND connamespace = current_schema()::regnamespace
    LOOP
        BEGIN
            EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', rule."table", rule.name);
        EXCEPTION WHEN check_violation THEN
            RAISE WARNING 'rows of % break the rule %', rule."table", rule.name;
        END;
    END LOOP;
END $$;
