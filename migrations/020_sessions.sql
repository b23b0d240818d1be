-- Sessions of the console, each of a user, of somebody who signed on without being one, or of an operator.
CREATE TABLE sessions (
    token_hash   bytea NOT NULL,            -- SHA-256 of the token, which cannot be used with it
    user_id      text,                      -- of a user
    credentials  bytea,                     -- SHA-256 of the user's access key and password hash at the opening
    org_id       text,                      -- of somebody who is not registered
    email        text NOT NULL DEFAULT '',  -- likewise
    display_name text NOT NULL DEFAULT '',  -- likewise
    group_ids    text[] NOT NULL DEFAULT '{}', -- that the nonce named
    granted      jsonb,                     -- permissions beyond which the session has none; NULL is no limit
    secret_mac   bytea,                     -- of an operator: HMAC of the admin secret's digest with the token
    owner        text NOT NULL DEFAULT '',  -- what the number of sessions is limited by
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    CONSTRAINT sessions_pkey PRIMARY KEY (token_hash),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
    CONSTRAINT sessions_org_id_fkey FOREIGN KEY (org_id) REFERENCES organisations ON DELETE CASCADE,
    CONSTRAINT sessions_owner_check CHECK (num_nonnulls(user_id, org_id, secret_mac) = 1),
    CONSTRAINT sessions_credentials_check CHECK ((user_id IS NULL) = (credentials IS NULL))
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_org_id_idx ON sessions (org_id);
CREATE INDEX sessions_owner_idx ON sessions (owner, created_at);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

-- The permissions that the creator of a nonce could grant; NULL if every one. Servers of the last release do not say
-- who the creator was: a session of such a nonce would have no permissions.
ALTER TABLE sso_nonces ADD COLUMN granted jsonb DEFAULT '{}';
