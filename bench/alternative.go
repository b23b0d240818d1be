package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/store"
)

// alternatives are the servers that gatehouse is compared with.
var alternatives = map[string]func(*pgxpool.Pool, io.Writer) (http.Handler, error){
	bare: newBare, stock: newStock, generated: newOgen,
}

// serveAlternative runs an alternative in this process until ctx ends: args are its name, the size of its pool (0 is
// pgx's own choice) and a connection string.
func serveAlternative(ctx context.Context, args []string, out, log io.Writer) error {
	const expected = 3
	if len(args) != expected || alternatives[args[0]] == nil {
		return errors.New(alternativeCommand + " is for this program's own use")
	}
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	pool, err := connect(ctx, args[2], size)
	if err != nil {
		return err
	}
	defer pool.Close()
	handler, err := alternatives[args[0]](pool, log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s listens on http://%s\n", args[0], listener.Addr())
	web := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = web.Close() }) // nobody waits for an answer then
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func connect(ctx context.Context, connString string, size int) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(connString)
	if err != nil {
		return nil, err
	}
	if size > 0 {
		cfg.MaxConns = int32(size)
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}

// oneUser runs a statement that gives a user.
func oneUser(ctx context.Context, pool *pgxpool.Pool, sql string, args ...any) (store.User, error) {
	rows, _ := pool.Query(ctx, sql, args...) // an error of Query comes back from the collection
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[store.User])
}

// oneOrganisation returns an organisation's document.
func oneOrganisation(ctx context.Context, pool *pgxpool.Pool, sql, id string) (store.Row, error) {
	rows, _ := pool.Query(ctx, sql, id)
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[store.Row])
}

// or is the time that p points to, or the zero time, which is how the API writes never.
func or(p *time.Time) (t time.Time) {
	if p != nil {
		t = p.UTC()
	}
	return t
}
