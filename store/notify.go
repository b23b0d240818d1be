package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// leaderLease is the name of the leader's row in the table leases.
const leaderLease = "leader"

// The times of a listener build on one another. beatInterval plus beatTimeout is how long a connection that is dead may
// go unnoticed, and with it the changes of other servers: together with a reconnection, less than two seconds.
// leaseDuration is longer, so that a server gives up its connection before it loses the lead.
const (
	// beatInterval is how often a listener notifies itself, and extends its lease.
	beatInterval = 500 * time.Millisecond
	// beatTimeout is how long a listener waits for a response of Postgres, and for its own notice.
	beatTimeout = 1200 * time.Millisecond
	// leaseDuration is how long the lease of a leader lasts that does not extend it, and so how long there is no leader
	// when it dies.
	leaseDuration = 2500 * time.Millisecond
	// leaseMargin is how much earlier a leader stops leading than its lease expires, by its own clock.
	leaseMargin = 250 * time.Millisecond
	// listenerConnectTimeout is how long a listener waits for a connection before it tries again.
	listenerConnectTimeout = 2 * time.Second
	// closeTimeout bounds the end of a listener, which gives its lease back.
	closeTimeout = 500 * time.Millisecond
)

// errDeaf is the error of a listener that does not receive its own notices.
var errDeaf = errors.New("the connection does not receive notices")

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
	// Lead is called when this server has become the leader, and each time that it stays the leader, with the time until
	// which it is. There is one leader at most among the servers that listen with a Lead. It may be nil.
	Lead func(until time.Time)
}

// Listening reports whether a call of Listen receives events: it has received a notice of its own in the last seconds.
func (s *Store) Listening() bool {
	heard := s.heard.Load()
	return heard != nil && time.Since(*heard) <= beatInterval+beatTimeout
}

// Listen receives events, on a connection of its own, until the context ends or the connection breaks. It notices a
// connection that is silent within two seconds. It returns the reason, which is never nil. A caller that leads must not
// do so after Listen has returned.
func (s *Store) Listen(ctx context.Context, l Listener) (err error) {
	defer wrap("listen", &err)
	conn, err := s.direct.aloneWithin(ctx, listenerConnectTimeout)
	if err != nil {
		return err
	}
	own := &listening{Listener: l, store: s, conn: conn, id: s.ids.UUID()}
	defer own.close(ctx)
	if err := own.start(ctx); err != nil {
		return err
	}
	s.versions.begin(own.ownChannel())
	l.Ready()
	for {
		if err := own.beat(ctx); err != nil {
			return err
		}
		if err := own.receive(ctx); err != nil {
			return err
		}
	}
}

// listening is the state of a call of Listen.
type listening struct {
	Listener

	store *Store
	conn  *pgx.Conn
	// id names the channel on which the listener notifies itself, and the holder of its lease.
	id    string
	heard time.Time // when its own notice was last received
	leads bool
}

func (l *listening) ownChannel() string { return channel + " " + l.id }

// start listens, and waits for a first notice of its own. Nothing depends on what the connection writes: it need not
// wait for the disk, nor for a standby.
func (l *listening) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	own := pgx.Identifier{l.ownChannel()}.Sanitize()
	if _, err := l.conn.Exec(ctx, `SET synchronous_commit = off; LISTEN `+channel+`; LISTEN `+own); err != nil {
		return err
	}
	if _, err := l.conn.Exec(ctx, `SELECT pg_notify($1, '')`, l.ownChannel()); err != nil {
		return err
	}
	for l.heard.IsZero() {
		notification, err := l.conn.WaitForNotification(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return errDeaf
		case err != nil:
			return err
		}
		l.hear(notification)
	}
	return nil
}

// hear records a notice of its own. It reports whether the channel is not that of the events.
func (l *listening) hear(notification *pgconn.Notification) bool {
	if notification.Channel != l.ownChannel() {
		return false
	}
	l.heard = time.Now()
	heard := l.heard
	l.store.heard.Store(&heard)
	l.store.versions.heard(notification.Payload)
	return true
}

// beat notifies the listener itself, and acquires or extends the lease of the leader.
func (l *listening) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	begun := time.Now()
	if _, err := l.conn.Exec(ctx, `SELECT pg_notify($1, '')`, l.ownChannel()); err != nil {
		return err
	}
	if l.Lead == nil {
		return nil
	}
	// The lease is by the clock of the database. The first condition spares the row the locks of those that do not hold
	// it.
	tag, err := l.conn.Exec(ctx, `
		INSERT INTO leases (name, holder, expires_at)
		SELECT @name, @holder, clock_timestamp() + @duration WHERE NOT EXISTS (
			SELECT FROM leases WHERE name = @name AND holder <> @holder AND expires_at > clock_timestamp())
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
		WHERE leases.holder = excluded.holder OR leases.expires_at <= clock_timestamp()`,
		pgx.StrictNamedArgs{"name": leaderLease, "holder": l.id, "duration": leaseDuration})
	if err != nil {
		return err
	}
	if l.leads = tag.RowsAffected() > 0; l.leads {
		l.Lead(begun.Add(leaseDuration - leaseMargin))
	}
	return nil
}

// receive handles events until the next beat is due. It returns errDeaf if the listener has not received its own
// notice.
func (l *listening) receive(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, beatInterval)
	defer cancel()
	for {
		notification, err := l.conn.WaitForNotification(waiting)
		switch {
		case err == nil && !l.hear(notification):
			event := Event(notification.Payload)
			l.store.versions.count(event)
			l.HandleEvent(event)
		case err == nil:
		case !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || l.conn.IsClosed():
			return err
		case time.Since(l.heard) > beatTimeout:
			return errDeaf
		default:
			return nil
		}
	}
}

// close gives the lease back, so that another server leads soon, and disconnects.
func (l *listening) close(ctx context.Context) {
	l.store.heard.Store(nil)
	l.store.versions.end()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if l.leads && !l.conn.IsClosed() {
		// If it fails, the lease expires.
		_, _ = l.conn.Exec(ctx, `DELETE FROM leases WHERE name = $1 AND holder = $2`, leaderLease, l.id)
	}
	_ = l.conn.Close(ctx) // an error says that it is closed already
}
