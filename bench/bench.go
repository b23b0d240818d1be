package main

import (
	"fmt"
	"io"
	"time"

	"gatehouse/internal/postgres"
)

// bench is a run: its Postgres, its programs, and what was seen.
type bench struct {
	plan
	report   *report
	cluster  *postgres.Cluster
	programs string // where psql and pgbench are
	dir      string
	pool     int // bare's best; 0 while it is not known
	// statements is what pgbench did last, by operation and connections.
	statements map[string]sample
	progress   io.Writer
	began      time.Time
}

// say tells the person who waits what is done now.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "%7.1f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}
