package store

import (
	"context"
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
