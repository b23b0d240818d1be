package store

import (
	"context"
	"errors"
	"maps"

	"github.com/jackc/pgx/v5"
)

// UserUnbatched is User with a statement for each caller.
func (s *Store) UserUnbatched(ctx context.Context, id string) (User, error) {
	return userByID().single(ctx, s.pool, id)
}

// WithTracer returns cfg with a tracer of the statements.
func WithTracer(cfg Config, tracer pgx.QueryTracer) Config {
	cfg.tracer = tracer
	return cfg
}

// ConstraintErrors returns the error of each constraint.
func ConstraintErrors() map[string]error { return maps.Clone(byConstraint) }

// LookUpMany runs the statements of batches.
func (s *Store) LookUpMany(ctx context.Context, keys []string) error {
	return errors.Join(
		lookUpMany(ctx, s.users, keys), lookUpMany(ctx, s.usersByKey, keys), lookUpMany(ctx, s.organisations, keys))
}

func lookUpMany[V any](ctx context.Context, b *batcher[V], keys []string) error {
	_, err := b.many(ctx, b.pool, keys)
	return err
}
