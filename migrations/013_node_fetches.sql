-- What registered gateways have fetched, so that one that has missed a notice can be notified again.
ALTER TABLE nodes
    -- Whether a heartbeat has arrived since the gateway registered. Servers of earlier releases do not record that: what
    -- they register counts as alive, because a gateway may lose its server in the middle of a reload during an upgrade.
    ADD COLUMN pinged boolean NOT NULL DEFAULT true,
    -- When the last request for a list began that was answered in full, by the clock of the database; NULL if there was
    -- none. apis_fetched is also NULL after a reload that the gateway had to break off.
    ADD COLUMN policies_fetched timestamptz,
    ADD COLUMN apis_fetched timestamptz,
    -- Whether the gateway has not fetched since a change, although it had the time to.
    ADD COLUMN behind boolean NOT NULL DEFAULT false;
