package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// channel is where servers on one database hear of each other. Its payloads are Events.
	channel = "gatehouse"
	// leaderLock is the advisory lock that one of the servers holds. Any number that nothing else uses in the database.
	leaderLock = 0x6761746568 // "gateh"
	// leaderPause is how often the others look whether it is free; a leader that dies is followed within it.
	leaderPause = 500 * time.Millisecond
)

// Event is what one server, or the database, tells all servers.
type Event string

const (
	// EventReload asks every server to read its state again.
	EventReload Event = "reload"
	// EventChange says that an API, a policy or an organisation has changed. The schema's triggers send it.
	EventChange Event = "change"
	// EventOrgKey is sent when an organisation's key has to reach gateways. The trigger on org_keys sends it.
	EventOrgKey Event = "org_key"
)

// Notify sends an event to every server on the database, this one included.
func (s *Store) Notify(ctx context.Context, event Event) error {
	_, err := s.pool.Exec(ctx, `SELECT pg_notify($1, $2)`, channel, string(event))
	return translate(err)
}

// Listener is called by Listen, never by two at a time.
type Listener struct {
	// Ready: from now on events are heard.
	Ready       func()
	HandleEvent func(Event)
	// Lead: of all servers that listen with a Lead, this one has become the leader, until Listen returns. Nil is a
	// server that does not want to.
	Lead func()
}

// Listen listens until ctx ends or the connection breaks, and returns why. It has a connection of its own.
func (s *Store) Listen(ctx context.Context, l Listener) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) // frees the leader's lock, too
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	l.Ready()
	for {
		if l.Lead != nil {
			leads, err := tryLead(ctx, conn)
			if err != nil {
				return err
			}
			if leads {
				l.Lead()
				l.Lead = nil
			}
		}
		if err := hear(ctx, conn, l); err != nil {
			return err
		}
	}
}

func tryLead(ctx context.Context, conn *pgx.Conn) (leads bool, err error) {
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, leaderLock).Scan(&leads); err != nil {
		return false, fmt.Errorf("listen: %w", err)
	}
	return leads, nil
}

// hear waits for an event; who still wants to lead, no longer than leaderPause.
func hear(ctx context.Context, conn *pgx.Conn, l Listener) error {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if l.Lead != nil {
		waiting, cancel = context.WithTimeout(ctx, leaderPause)
	}
	defer cancel()
	note, err := conn.WaitForNotification(waiting)
	switch {
	case err == nil:
		l.HandleEvent(Event(note.Payload))
		return nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && !conn.IsClosed():
		return nil
	}
	return fmt.Errorf("listen: %w", err)
}
