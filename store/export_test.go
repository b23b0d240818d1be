package store

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/pgmigrate"
)

// Ping waits for a connection of the pool, and returns an error if the database does not answer.
func (s *Store) Ping(ctx context.Context) error { return s.pool.Ping(ctx) }

// UserUnbatched is User with a statement for each caller.
func (s *Store) UserUnbatched(ctx context.Context, id string) (User, error) {
	return userByID().single(ctx, s.pool, id)
}

// Migrate applies migrations of files to a database.
func Migrate(ctx context.Context, conn *pgx.Conn, files fs.FS) error {
	return applyMigrations(ctx, conn, pgmigrate.Sequence{Files: files, Table: VersionTable})
}

// WithTracer returns cfg with a tracer of the statements.
func WithTracer(cfg Config, tracer pgx.QueryTracer) Config {
	cfg.tracer = tracer
	return cfg
}

// ConstraintError returns the error of a constraint; nil if it has none.
func ConstraintError(name string) error { return constraintError(name) }

// ConstraintErrors returns the errors of constraints that do not follow from their kind.
func ConstraintErrors() map[string]error { return maps.Clone(constraintErrors) }

// LookUpMany runs the statements of batches.
func (s *Store) LookUpMany(ctx context.Context, keys []string) error {
	return errors.Join(
		lookUpMany(ctx, s.users, keys), lookUpMany(ctx, s.usersByKey, keys), lookUpMany(ctx, s.organisations, keys))
}

// CollectHeartbeat has the next write of WriteNodes be that of a node's heartbeat.
func CollectHeartbeat(s *Store, id string) {
	s.heartbeats.setRunning(true)
	s.heartbeats.add(id, s.now())
	s.heartbeats.collect(s.now(), nodeActivity{id, activity{ping: s.now()}})
}

func lookUpMany[V any](ctx context.Context, b *batcher[V], keys []string) error {
	_, err := b.many(ctx, b.pool, keys)
	return err
}

// DeleteAuditEventsOver is DeleteAuditEvents with another number of events that are kept.
func DeleteAuditEventsOver(ctx context.Context, s *Store, before time.Time, limit int) error {
	return s.deleteAuditEvents(ctx, before, limit)
}

// BoundCancel bounds the requests by which pgx cancels the statements of a connection.
func BoundCancel(config *pgx.ConnConfig) { boundCancel(config) }
