-- When a gateway last registered, by the clock of the database; NULL if a server of an earlier release registered it. A
-- fetch that began before that is not recorded afterwards: the gateway may have had to give it up.
ALTER TABLE nodes ADD COLUMN registered timestamptz;
