-- Documents of organisations that are neither APIs nor policies: templates, webhooks and what the classic developer
-- portal consists of. The server knows the kinds; gateways get none of them.

CREATE TABLE objects (
    id            text NOT NULL,    -- 24 hexadecimal digits
    position      bigint GENERATED ALWAYS AS IDENTITY,
    kind          text NOT NULL,
    org_id        text NOT NULL,
    public_id     text,             -- another ID, that of a client, or of the only object of this kind; NULL if none
    look_up       text,             -- what objects of the kind are also found by; NULL if nothing
    password_hash text,             -- of a portal's developer; NULL if there is no password
    document      json NOT NULL,
    CONSTRAINT objects_pkey PRIMARY KEY (id),
    CONSTRAINT objects_public_id_key UNIQUE (kind, public_id, org_id),
    CONSTRAINT objects_org_id_fkey FOREIGN KEY (org_id) REFERENCES organisations ON DELETE CASCADE,
    CONSTRAINT objects_id_check CHECK (id ~ '^[0-9a-f]{24}$'),
    CONSTRAINT objects_kind_check CHECK (kind <> ''),
    CONSTRAINT objects_public_id_check CHECK (public_id <> ''),
    CONSTRAINT objects_look_up_check CHECK (look_up <> ''),
    CONSTRAINT objects_password_hash_check CHECK (password_hash <> '')
);
CREATE UNIQUE INDEX objects_position_key ON objects (position);
CREATE INDEX objects_org_id_kind_position_idx ON objects (org_id, kind, position);
CREATE INDEX objects_kind_look_up_idx ON objects (kind, look_up) WHERE look_up IS NOT NULL;
CREATE INDEX objects_kind_position_idx ON objects (kind, position);

-- lz4 compresses faster, where this build of Postgres has it.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE objects ALTER COLUMN document SET COMPRESSION lz4;
    END IF;
END $$;
