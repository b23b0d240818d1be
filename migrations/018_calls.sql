-- The APIs that a user's API calls, as store.API has them; NULL for none, and for what an import has stored. An import
-- gives none of them to another organisation, as long as the API that calls it is stored.
ALTER TABLE apis ADD COLUMN calls text[];
-- Without a list of pending entries: nobody's write waits for those of others.
CREATE INDEX apis_calls_idx ON apis USING gin (calls) WITH (fastupdate = off);
