package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// channel is the NOTIFY channel of the servers on one database. Its payloads are Events.
const channel = "gatehouse"

// Event is what is announced to all servers on the database.
type Event string

const (
	// EventReload asks every server to read its state again.
	EventReload Event = "reload"
	// EventChange is sent when an API, a policy or an organisation has changed. The transaction of the change announces
	// it.
	EventChange Event = "change"
	// EventOrgKey is sent when an organisation's key has to reach gateways.
	EventOrgKey Event = "org_key"
)

// announce sends an event to every server on the database when a transaction commits. Postgres sends an event once,
// however often the transaction announces it. It is a statement of its own: on a distributed Postgres, one with a table
// in it may run on another node than the servers are connected to.
func announce(ctx context.Context, tx pgx.Tx, event Event) error {
	_, err := tx.Exec(ctx, `SELECT pg_notify($1, $2)`, channel, string(event))
	return err
}
