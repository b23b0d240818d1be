-- The hashes of a user's earlier passwords, the latest first. They are kept if passwords must not be set again.

ALTER TABLE users ADD COLUMN password_history text[] NOT NULL DEFAULT '{}';
