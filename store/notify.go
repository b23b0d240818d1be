package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// channel is the NOTIFY channel of the servers on one database. Its payloads are Events.
	channel = "gatehouse"
	// leaderLock is the advisory lock that the leader holds. It is any number that nothing else uses in the database.
	leaderLock = 0x6761746568 // "gateh"
	// leaderInterval is how often the other servers try to become the leader, and so how long there is none when it
	// dies.
	leaderInterval = 500 * time.Millisecond
)

// Event is what is announced to all servers on the database.
type Event string

const (
	// EventReload asks every server to read its state again.
	EventReload Event = "reload"
	// EventChange is sent when an API, a policy or an organisation has changed. Triggers send it (002_nodes.sql).
	EventChange Event = "change"
	// EventOrgKey is sent when an organisation's key has to reach gateways. A trigger sends it (004_org_key_sync.sql).
	EventOrgKey Event = "org_key"
)

// Notify sends an event to every server on the database, including this one.
func (s *Store) Notify(ctx context.Context, event Event) (err error) {
	defer wrap("notify", &err)
	_, err = s.pool.Exec(ctx, `SELECT pg_notify($1, $2)`, channel, string(event))
	return err
}

// Listener has the callbacks of Listen. No two are called at once.
type Listener struct {
	// Ready is called when the connection receives events.
	Ready func()
	// HandleEvent is called for each event.
	HandleEvent func(Event)
	// Lead is called when this server has become the leader, which it is until Listen returns. There is one leader
	// among the servers that listen with a Lead. It may be nil.
	Lead func()
}

// Listen receives events, on a connection of its own, until the context ends or the connection breaks. It returns the
// reason, which is never nil.
func (s *Store) Listen(ctx context.Context, l Listener) (err error) {
	defer wrap("listen", &err)
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // releases the leader's lock, too
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return err
	}
	l.Ready()
	for {
		if l.Lead != nil {
			leads, err := queryValue[bool](ctx, conn, `SELECT pg_try_advisory_lock($1)`, leaderLock)
			if err != nil {
				return err
			}
			if leads {
				l.Lead()
				l.Lead = nil
			}
		}
		if err := handleNext(ctx, conn, l); err != nil {
			return err
		}
	}
}

// handleNext waits for an event and handles it. A server that may become the leader waits for leaderInterval at most.
func handleNext(ctx context.Context, conn *pgx.Conn, l Listener) error {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if l.Lead != nil {
		waiting, cancel = context.WithTimeout(ctx, leaderInterval)
	}
	defer cancel()
	notification, err := conn.WaitForNotification(waiting)
	switch {
	case err == nil:
		l.HandleEvent(Event(notification.Payload))
		return nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && !conn.IsClosed():
		return nil
	}
	return err
}
