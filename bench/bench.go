package main

import (
	"fmt"
	"io"
	"time"

	"gatehouse/postgres"
)

// bench is a run of the benchmark.
type bench struct {
	plan
	report  *report
	cluster *postgres.Cluster
	binDir  string // directory of psql and pgbench
	dir     string // temporary directory of the run
	pool    int    // pool size at which bare is fastest; 0 until choosePool has found it
	// pgbenchSamples holds the last result of pgbench by operation and connections.
	pgbenchSamples map[string]sample
	progress       io.Writer
	started        time.Time
}

// progressf writes a line about the next step of the run, with the seconds since its start.
func (b *bench) progressf(format string, args ...any) {
	fmt.Fprintf(b.progress, "%7.1f s  %s\n", time.Since(b.started).Seconds(), fmt.Sprintf(format, args...))
}
