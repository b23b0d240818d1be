package main

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// measureStarts measures the time from the start of a process to its first response with status 200: with a private
// Postgres that has no data directory (cold), with one that has (warm), and with a given database.
func (b *bench) measureStarts(ctx context.Context) error {
	conn, err := b.database(ctx, "starts")
	if err != nil {
		return err
	}
	for round := range b.rounds {
		b.progressf("starts: round %d of %d", round+1, b.rounds)
		if err := b.startRound(ctx, conn); err != nil {
			return err
		}
	}
	return b.drop(ctx, "starts")
}

// startRound measures each start once.
func (b *bench) startRound(ctx context.Context, conn string) error {
	defer os.RemoveAll(filepath.Join(b.dir, "data"))
	for _, each := range []struct{ result, server, conn string }{
		{"cold_start_s", gatehouse, ""},
		{"warm_start_s", gatehouse, ""}, // with the data directory of the cold start
		{"given_start_s", gatehouse, conn},
		{"bare_given_start_s", bare, conn},
		{"stock_given_start_s", stock, conn},
		{"ogen_given_start_s", ogen, conn},
	} {
		started := time.Now()
		p, err := b.start(ctx, each.server, each.conn)
		if err != nil {
			return err
		}
		b.report.add(each.result, "s", time.Since(started).Seconds())
		if err := p.stop(ctx); err != nil {
			return err
		}
	}
	return nil
}
