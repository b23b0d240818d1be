// Package alternative holds what the servers that gatehouse is compared with have in common: how
// they start, the SQL they run and the identifiers they generate.
//
// The SQL is a copy of what gatehouse runs, so that gatehouse need not export its own for a
// benchmark. TestAlternativesMatchGatehouse (bench) fails when the copy no longer does the same.
package alternative

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// AdminSecret is the admin secret of every server in the benchmark.
const AdminSecret = "bench-secret"

// NewHandler returns the handler of an alternative.
type NewHandler func(pool *pgxpool.Pool, log *slog.Logger) (http.Handler, error)

// Main runs an alternative as a program: it serves requests until it receives SIGINT or SIGTERM.
func Main(newHandler NewHandler) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, newHandler)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, newHandler NewHandler) error {
	databaseURL := flag.String("database-url", "", "connection `string` of a database that gatehouse has migrated")
	maxConnections := flag.Int("max-connections", 0, "size of the connection pool (0: pgxpool's default)")
	flag.Parse()
	pool, err := connect(ctx, *databaseURL, *maxConnections)
	if err != nil {
		return err
	}
	defer pool.Close()
	handler, err := newHandler(pool, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "listens on http://%s\n", listener.Addr()) // as gatehouse announces itself
	web := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = web.Close() }) // no request is in flight when the benchmark stops a server
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func connect(ctx context.Context, databaseURL string, maxConnections int) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, err
	}
	if maxConnections > 0 {
		cfg.MaxConns = int32(maxConnections)
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}
