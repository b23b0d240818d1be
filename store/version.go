package store

import (
	"context"
	"time"
)

// What is kept in memory of the database is compared with it by Version. Postgres delivers notices in the order in
// which their transactions are committed, and a transaction that changes documents announces that (announce). So a
// server that sends itself a notice, and receives it, has received those of all changes that were committed before.
// This takes one small statement, which neither reads a table nor waits for the disk, and needs no row that all changes
// would have to lock.

// versionTimeout is how long a notice may take. Transactions that announce something are committed one after another,
// and may wait for a disk or a standby.
const versionTimeout = 2 * time.Second

// Version returns the version of what is stored, and the time of the database's clock (Clock). Everything is in it that
// was committed before the call. Version returns ErrDeaf if Listen does not run, or its connection breaks.
func (s *Store) Version(ctx context.Context) (v Version, at time.Time, err error) {
	defer wrap("read version", &err)
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	channel, payload, heard, err := s.versions.expect()
	if err != nil {
		return v, at, err
	}
	defer s.versions.forget(payload)
	at, err = queryValue[time.Time](ctx, s.pool, `SELECT clock_timestamp()
		FROM set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`, channel, payload)
	if err != nil {
		return v, at, err
	}
	select {
	case v, ok := <-heard:
		if !ok {
			return v, at, ErrDeaf
		}
		return v, at, nil
	case <-ctx.Done():
		return v, at, ctx.Err()
	}
}
