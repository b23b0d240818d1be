-- User groups: the users whose group_id it is have the permissions of a group in addition to their own. A group counts
-- only for users of its own organisation: group_id is free text, which the admin API stores as it came.

CREATE TABLE user_groups (
    id               text,
    position         bigint GENERATED ALWAYS AS IDENTITY,
    org_id           text NOT NULL,
    active           boolean NOT NULL, -- whether the access keys of its users work, except those of administrators
    user_permissions jsonb NOT NULL,
    document         json NOT NULL,
    CONSTRAINT user_groups_pkey PRIMARY KEY (id),
    CONSTRAINT user_groups_org_id_fkey FOREIGN KEY (org_id) REFERENCES organisations ON DELETE CASCADE,
    CONSTRAINT user_groups_id_check CHECK (id <> ''),
    CONSTRAINT user_groups_user_permissions_check CHECK (jsonb_typeof(user_permissions) = 'object')
);
CREATE UNIQUE INDEX user_groups_position_key ON user_groups (position);
CREATE INDEX user_groups_org_id_position_idx ON user_groups (org_id, position);

-- The users of a group, which most users are not.
CREATE INDEX users_group_id_idx ON users (group_id) WHERE group_id <> '';
