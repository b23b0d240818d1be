CREATE TABLE owners (
    id text PRIMARY KEY,
    name text NOT NULL,
    key_hash bytea NOT NULL CONSTRAINT owners_key_hash_key UNIQUE -- SHA-256: keys are random
);

CREATE TABLE tags (
    id text PRIMARY KEY,
    owner_id text NOT NULL REFERENCES owners ON DELETE CASCADE,
    name text NOT NULL,
    CONSTRAINT tags_owner_id_name_key UNIQUE (owner_id, name)
);

CREATE TABLE notes (
    id text PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    owner_id text NOT NULL REFERENCES owners ON DELETE CASCADE,
    title text NOT NULL,
    text text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    words tsvector GENERATED ALWAYS AS (to_tsvector('simple', title || ' ' || text)) STORED
);

CREATE INDEX notes_owner_id_position_idx ON notes (owner_id, position);
CREATE INDEX notes_words_idx ON notes USING gin (words);

CREATE TABLE note_tags (
    note_id text NOT NULL REFERENCES notes ON DELETE CASCADE,
    tag_id text NOT NULL REFERENCES tags ON DELETE CASCADE,
    PRIMARY KEY (note_id, tag_id)
);

CREATE INDEX note_tags_tag_id_idx ON note_tags (tag_id);
