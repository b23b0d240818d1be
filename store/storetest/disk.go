package storetest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
	"gatehouse/pgtest"
	"gatehouse/postgres"
)

// Disk is a file system that has nothing but the tables of a database. The write-ahead log is elsewhere: Postgres
// crashes when that has no space.
type Disk struct {
	t   testing.TB
	dir string
}

// DatabaseOnADisk makes an empty database on a small file system of its own, in a Postgres of its own: one that cannot
// write to one of its disks makes and drops no other database. All are removed with the test.
func DatabaseOnADisk(t testing.TB) (string, *Disk) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-disk-") //nolint:usetesting // the account of Postgres has to reach it
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o711))
	d := &Disk{t, filepath.Join(dir, "disk")}
	require.NoError(t, os.Mkdir(d.dir, 0o711))
	if os.Geteuid() != 0 || exec.Command("mount", "-t", "tmpfs", "-o", "size=64m,mode=711", "tmpfs", d.dir).Run() != nil {
		testprogram.Missing(t, "root, to mount a file system that a test can fill")
	}
	t.Cleanup(func() { require.NoError(t, exec.Command("umount", d.dir).Run()) })
	tables := filepath.Join(d.dir, "tables")
	programs, err := postgres.FindPrograms(t.Context(), pgtest.BinDir())
	require.NoError(t, err)
	require.NoError(t, programs.Mkdir(tables))

	pair := NewPair(t)
	require.NoError(t, pair.StartPrimary(t.Context()))
	node := pair.Primary()
	require.NoError(t, node.SQL(t.Context(), "postgres", `CREATE TABLESPACE disk LOCATION '`+tables+`'`))
	require.NoError(t, node.SQL(t.Context(), "postgres", `CREATE DATABASE on_disk TABLESPACE disk`))
	return node.URL("on_disk"), d
}

// Fill fills the file system.
func (d *Disk) Fill() {
	d.t.Helper()
	file, err := os.Create(filepath.Join(d.dir, "filler"))
	require.NoError(d.t, err)
	defer file.Close()
	for size := 1 << 20; size > 0; size >>= 1 {
		for piece := make([]byte, size); err == nil; {
			_, err = file.Write(piece)
		}
		require.ErrorIs(d.t, err, syscall.ENOSPC)
		err = nil
	}
}

// Free makes space again.
func (d *Disk) Free() {
	d.t.Helper()
	require.NoError(d.t, os.Remove(filepath.Join(d.dir, "filler")))
}

// Isolate lets nobody connect to a database any more, and ends the connections to it except those whose last statement
// has a text. It returns a function that lets clients connect again.
func Isolate(t testing.TB, connString, except string) (readmit func()) {
	t.Helper()
	name := pgx.Identifier{Value[string](t, connString, `SELECT current_database()`)}.Sanitize()
	Exec(t, pgtest.Server(), `ALTER DATABASE `+name+` ALLOW_CONNECTIONS false`)
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, pgtest.Server())
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE quote_ident(datname) = quote_ident(trim('"' FROM $1)) AND strpos(query, $2) = 0`, name, except)
	require.NoError(t, err)
	return func() { Exec(t, pgtest.Server(), `ALTER DATABASE `+name+` ALLOW_CONNECTIONS true`) }
}
