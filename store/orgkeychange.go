package store

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
)

// OrgKey is the key of an organisation: the session whose limits count for the whole organisation.
type OrgKey struct {
	OrgID   string
	Session json.RawMessage
}

// OrgKeyChange is a change of an organisation's key: what a request wants to store.
type OrgKeyChange struct {
	OrgKey // a nil Session deletes the key

	// MustExist refuses the change of a key that the organisation does not have.
	MustExist bool
}

// writeOrgKey changes a key, and has the change sent to gateways.
func writeOrgKey(ctx context.Context, tx pgx.Tx, change OrgKeyChange) error {
	sql, args := `
		INSERT INTO org_keys (org_id, session) VALUES (@org_id, @session)
		ON CONFLICT (org_id) DO UPDATE SET session = excluded.session`,
		pgx.StrictNamedArgs{"org_id": change.OrgID, "session": change.Session}
	switch {
	case change.Session == nil:
		sql, args = `DELETE FROM org_keys WHERE org_id = @org_id`, pgx.StrictNamedArgs{"org_id": change.OrgID}
	case change.MustExist:
		sql = `UPDATE org_keys SET session = @session WHERE org_id = @org_id`
	}
	if err := execRow(ctx, tx, sql, args); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO org_key_sync (org_id, sent) VALUES ($1, false)`+againUnsynced, change.OrgID)
	if err != nil {
		return err
	}
	return announce(ctx, tx, EventOrgKey)
}

// againUnsynced ends an INSERT of keys that gateways may not have any more.
const againUnsynced = ` ON CONFLICT (org_id) DO UPDATE SET
	version = excluded.version, sent = false, attempts = 0, due_at = excluded.due_at, last_error = NULL`
