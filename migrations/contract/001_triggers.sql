-- Since 012_notices.sql, servers announce changes themselves, and the column checked has what three columns had.

DROP TRIGGER announce_change ON apis;
DROP TRIGGER announce_change ON policies;
DROP TRIGGER announce_change ON organisations;
DROP FUNCTION announce_change();

DROP TRIGGER org_key_changed ON org_keys;
DROP FUNCTION org_key_changed();

DROP TRIGGER forget_check ON apis;
DROP TRIGGER forget_check ON policies;
DROP FUNCTION forget_check();
ALTER TABLE apis DROP COLUMN loadable, DROP COLUMN checked_by, DROP COLUMN digest;
ALTER TABLE policies DROP COLUMN loadable, DROP COLUMN checked_by, DROP COLUMN digest;
