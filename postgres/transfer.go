package postgres

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
)

// transfer copies the database of one cluster to another, which must be empty.
type transfer struct {
	clients  clients
	from, to string // directories of sockets
	copied   func(bytes int64)
}

// run pipes pg_dump into psql.
func (t transfer) run(ctx context.Context) error {
	args, err := t.dumpArguments(ctx)
	if err != nil {
		return err
	}
	dump, dumped, err := t.startDump(args)
	if err != nil {
		return err
	}
	defer dumped.Close()
	defer dump.stop()
	load, dumpToLoad, err := t.startLoad()
	if err != nil {
		return err
	}
	defer dumpToLoad.Close()
	defer load.stop()
	defer context.AfterFunc(ctx, func() { dump.stop(); load.stop() })()

	_, err = io.Copy(countingWriter{dumpToLoad, t.copied}, dumped)
	if errors.Is(err, syscall.EPIPE) {
		return cmp.Or(load.wait(ctx), err) // the error of psql is the cause
	}
	// psql commits at the end of its input: the pipe must stay open until pg_dump has succeeded.
	if err := cmp.Or(err, dump.wait(ctx)); err != nil {
		return err
	}
	if err := dumpToLoad.Close(); err != nil {
		return err
	}
	return load.wait(ctx)
}

func (t transfer) dumpArguments(ctx context.Context) ([]string, error) {
	args := append([]string{"--format=plain"}, connectArgs(t.from)...)
	compresses, err := t.clients.query(ctx, t.to, `SELECT 'lz4' = ANY (enumvals) FROM pg_settings
		WHERE name = 'default_toast_compression';`)
	if strings.TrimSpace(compresses) != "t" {
		args = append(args, "--no-toast-compression") // npm's Postgres has no lz4
	}
	return args, err
}

// startDump starts pg_dump, and returns the pipe from which its output can be read.
func (t transfer) startDump(args []string) (client, *os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return client{}, nil, err
	}
	cmd := t.clients.run.command("pg_dump", args...)
	cmd.Stdout = write
	dump, err := spawnClient(cmd)
	if err = errors.Join(err, write.Close()); err != nil {
		return dump, nil, errors.Join(err, read.Close())
	}
	return dump, read, nil
}

// startLoad starts psql, and returns the pipe to which its input must be written.
func (t transfer) startLoad() (client, *os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return client{}, nil, err
	}
	cmd := t.clients.psql(t.to, "--single-transaction", "--output", os.DevNull)
	cmd.Stdin = read
	load, err := spawnClient(cmd)
	if err = errors.Join(err, read.Close()); err != nil {
		return load, nil, errors.Join(err, write.Close())
	}
	return load, write, nil
}

// countingWriter reports how many bytes it has written.
type countingWriter struct {
	to      io.Writer
	written func(bytes int64)
}

// Write implements io.Writer.
func (w countingWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.written(int64(n))
	return n, err
}
