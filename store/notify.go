package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// channel is where servers on one database hear of each other. Its payloads are Events.
const channel = "gatehouse"

// Event is what one server tells all, itself included.
type Event string

// Reload asks every server to read its state again.
const Reload Event = "reload"

// Announce sends an event to every server on the database.
func (s *Store) Announce(ctx context.Context, event Event) error {
	_, err := s.pool.Exec(ctx, `SELECT pg_notify($1, $2)`, channel, string(event))
	return translate(err)
}

// Listen calls heard for every event until ctx ends or the connection breaks, and returns why; ready is called once it
// hears. It has a connection of its own.
func (s *Store) Listen(ctx context.Context, ready func(), heard func(Event)) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ready()
	for {
		note, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		heard(Event(note.Payload))
	}
}
