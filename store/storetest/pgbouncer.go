package storetest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
)

// PoolMode is when PgBouncer takes a connection to Postgres away from a client.
type PoolMode string

// The modes of PgBouncer.
const (
	PoolSessions     PoolMode = "session"
	PoolTransactions PoolMode = "transaction"
	PoolStatements   PoolMode = "statement"
)

// PgBouncer starts a PgBouncer in front of a database, with so many connections to it, and returns the connection
// string that leads through it. It is stopped at the end of the test.
func PgBouncer(t testing.TB, connString string, mode PoolMode, size int) (through string) {
	t.Helper()
	program := needPgBouncer(t)
	database, err := pgx.ParseConfig(connString)
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "gh-pgb-") //nolint:usetesting // short: the path of a socket is limited
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `[databases]
* = host=%s port=%d user=%s
[pgbouncer]
listen_addr =
unix_socket_dir = %s
listen_port = %d
auth_type = any
pool_mode = %s
default_pool_size = %d
max_client_conn = 500
`, database.Host, database.Port, database.User, dir, database.Port, mode, size), 0o644))
	cmd := exec.Command(program, config)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	runAsOwner(t, cmd, database.Host, dir)
	require.NoError(t, cmd.Start())
	exited := make(chan struct{}, 1)
	go func() {
		_ = cmd.Wait() // what it wrote says more
		exited <- struct{}{}
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-exited })
	socket := filepath.Join(dir, fmt.Sprintf(".s.PGSQL.%d", database.Port))
	require.Eventually(t, func() bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil || len(exited) > 0
	}, time.Minute, time.Millisecond)
	require.Empty(t, exited, "pgbouncer has exited: %s", &log)
	return fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable", dir, database.Port, database.User,
		database.Database)
}

// needPgBouncer returns the path of PgBouncer, which is where ordinary users do not search.
func needPgBouncer(t testing.TB) string {
	t.Helper()
	const usual = "/usr/sbin/pgbouncer"
	if _, err := os.Stat(usual); err == nil {
		return usual
	}
	return testprogram.Need(t, "pgbouncer")
}

// nobody is the number of the account and the group that own nothing.
const nobody = 65534

// runAsOwner has a command run as the owner of a directory of Postgres, and gives it another directory. PgBouncer
// refuses to run as root, and only the owner can connect. A Postgres that is reached by TCP has no directory.
func runAsOwner(t testing.TB, cmd *exec.Cmd, postgresDir, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	owner := &syscall.Stat_t{Uid: nobody, Gid: nobody}
	if filepath.IsAbs(postgresDir) {
		info, err := os.Stat(postgresDir)
		require.NoError(t, err)
		var ok bool
		owner, ok = info.Sys().(*syscall.Stat_t)
		require.True(t, ok)
		require.NoError(t, os.Chmod(filepath.Dir(postgresDir), 0o711)) // the data directory of a test
	}
	require.NoError(t, os.Chown(dir, int(owner.Uid), int(owner.Gid)))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
}
