package main

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// starts measures the time from the start of a process to its first 200: with a private Postgres that must be made
// first (cold), with one that has data (warm), and with a database that is given.
func (b *bench) starts(ctx context.Context) error {
	conn, err := b.database(ctx, "starts")
	if err != nil {
		return err
	}
	for round := range b.rounds {
		b.say("starts: round %d of %d", round+1, b.rounds)
		if err := b.startRound(ctx, conn); err != nil {
			return err
		}
	}
	return b.drop(ctx, "starts")
}

func (b *bench) startRound(ctx context.Context, conn string) error {
	defer os.RemoveAll(filepath.Join(b.dir, "data"))
	for _, each := range []struct{ result, server, conn string }{
		{"cold_start_s", gatehouse, ""},
		{"warm_start_s", gatehouse, ""}, // on what the cold start made
		{"given_start_s", gatehouse, conn},
		{"bare_given_start_s", bare, conn},
		{"stock_given_start_s", stock, conn},
		{"ogen_given_start_s", generated, conn},
	} {
		began := time.Now()
		p, err := b.start(ctx, each.server, each.conn)
		if err != nil {
			return err
		}
		b.report.add(each.result, "s", time.Since(began).Seconds())
		if err := p.stop(ctx); err != nil {
			return err
		}
	}
	return nil
}
